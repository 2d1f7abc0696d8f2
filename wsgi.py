"""The WSGI application under a short name: ``gunicorn wsgi:app``."""

from lakebase_api.wsgi import app as app
