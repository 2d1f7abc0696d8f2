"""Environments that tests read settings from, and what is wrong with others."""

import pytest

from lakebase_api.environment import SettingsError, load_settings

ENDPOINT = {"LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e"}
INSTANCE = {"DATABRICKS_DATABASE_INSTANCE": "shop"}
STATIC = {"PGHOST": "db.example.com", "PGUSER": "ann", "PGPASSWORD": "pw"}
EVERYTHING = {**STATIC, **INSTANCE, **ENDPOINT}


def mistakes(environ: dict[str, str]) -> list[str]:
    """What is wrong with the environment, a line each; there has to be something."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]
