"""What gunicorn reads by itself in the folder that it is started in."""

from lakebase_api.gunicorn_settings import *  # noqa: F403  gunicorn takes the settings it knows
