"""The WSGI application that gunicorn serves: ``gunicorn wsgi:app``."""

from lakebase_api.app import create_app
from lakebase_api.environment import load_settings

settings = load_settings()
app = create_app(settings)
