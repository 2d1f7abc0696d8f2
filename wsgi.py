"""The WSGI application that gunicorn serves: ``gunicorn wsgi:app``."""

from lakebase_api.app import create_app
from lakebase_api.environment import load_settings
from lakebase_api.log_lines import log_uncaught

settings = load_settings()
log_uncaught()
app = create_app(settings)
