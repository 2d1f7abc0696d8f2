import pytest

from lakebase_api.doctor.capacity import judge_connections
from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import State
from tests.doctor.conftest import PERSON, Shop
from tests.waiting import wait_until


@pytest.fixture
def session(shop: Shop) -> Connection:
    shop.environment |= {
        "WEB_CONCURRENCY": "1",
        "DB_POOL_SIZE": "1",
        "DB_MAX_OVERFLOW": "0",
        "EXPORT_CONCURRENCY": "0",
    }
    session = shop.log_in()
    session.execute("SET application_name = 'the-app'")
    return session


def count_others(session: Connection, shop: Shop) -> int:
    says = judge_connections(session, shop.settings).says
    return int(says.partition("superusers and ")[2].split()[0])


def test_sessions_of_others_count_and_those_of_the_app_do_not(shop: Shop, session: Connection) -> None:
    # Those of the test before may be about to end.
    wait_until(lambda: count_others(session, shop) == 0)
    shop.log_in().execute("SET application_name = 'the-app'")
    assert count_others(session, shop) == 0
    shop.log_in(PERSON).execute("SET application_name = 'the-app'")
    assert count_others(session, shop) == 1


def test_what_superusers_keep_is_not_for_the_app(shop: Shop, session: Connection) -> None:
    # The server allows 200, and keeps 3 of them for superusers.
    shop.environment["DB_POOL_SIZE"] = "150"
    assert judge_connections(session, shop.settings).state is State.OK
    shop.environment["DB_POOL_SIZE"] = "198"
    check = judge_connections(session, shop.settings)
    assert check.state is State.FAILED
    others = int(check.says.partition("superusers and ")[2].split()[0])
    assert f"(DB_POOL_SIZE + DB_MAX_OVERFLOW + EXPORT_CONCURRENCY) is at most {197 - others}," in check.mend
