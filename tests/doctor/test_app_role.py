import pytest

from lakebase_api.doctor.app_role import find_app_role
from lakebase_api.environment import load_settings

LAKEBASE = {"LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e"}
STATIC = {"PGHOST": "localhost", "PGUSER": "ann@example.com", "PGPASSWORD": "pw"}


@pytest.mark.parametrize(
    ("environment", "role"),
    [
        (STATIC, "ann@example.com"),
        (LAKEBASE, None),
        ({**LAKEBASE, "PGUSER": "ann@example.com"}, None),
        ({**LAKEBASE, "PGUSER": "shop-apps"}, "shop-apps"),
        ({**LAKEBASE, "DATABRICKS_CLIENT_ID": "5f2b"}, "5f2b"),
        ({**LAKEBASE, "DATABRICKS_CLIENT_ID": "5f2b", "PGUSER": "ann@example.com"}, "5f2b"),
        ({"DATABRICKS_DATABASE_INSTANCE": "shop", "DATABRICKS_CLIENT_ID": "5f2b", "PGUSER": "5f2b"}, "5f2b"),
    ],
)
def test_the_app_is_a_service_principal_or_a_role_that_is_no_person(
    environment: dict[str, str], role: str | None
) -> None:
    assert find_app_role(load_settings(environment)) == role
