"""The WSGI application that gunicorn serves: ``lakebase_api.wsgi:app``."""

from lakebase_api.access.rights_file import load_rights
from lakebase_api.app import create_app
from lakebase_api.environment import load_settings
from lakebase_api.log_lines import log_uncaught
from lakebase_api.table.loading import load_tables

settings = load_settings()
tables = load_tables(settings)
rights = load_rights(settings, tables)
log_uncaught()
app = create_app(settings, tables, rights)
