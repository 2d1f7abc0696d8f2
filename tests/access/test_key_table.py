"""API keys in the table: made, rotated, revoked, expired, and what of them is where."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg import sql

from lakebase_api.access.api_keys import digest, make_key
from lakebase_api.access.key_table import KeyTable
from lakebase_api.app import get_service
from lakebase_api.doctor.key_commands import KeysRefused
from tests.access.keys import bear, create_key, list_keys, revoke_key, rotate_key
from tests.conftest import PASSWORD, AppOpener, OrdersDatabase
from tests.orders.changing import read, set_status

KEYS = "SELECT name, id, last_used_at IS NOT NULL FROM lakebase_api.api_key ORDER BY created_at"


@pytest.fixture
def connect(database: OrdersDatabase, open_app: AppOpener) -> Callable[[], FlaskClient]:
    """Makes a client of a service that has loaded no keys yet, and lets none in without one."""
    return lambda: open_app({**database.environment, "ANONYMOUS": "off"}).test_client()


def ask(client: FlaskClient, key: str) -> tuple[int, str]:
    """The status of a look-up with a key, and why it was refused."""
    answer = client.get("/orders/1", headers=bear(key))
    return answer.status_code, str((answer.json or {}).get("detail", ""))


def test_a_key_is_let_in_and_is_the_caller_of_a_change(
    database: OrdersDatabase, connect: Callable[[], FlaskClient]
) -> None:
    key = create_key(database.environment, "till-7")
    client = connect()
    assert ask(client, key)[0] == 200
    assert client.get("/orders/1").status_code == 401
    assert set_status(client, 1, "F", bear(key)).status_code == 200
    [change] = read(client, "/orders/1/history", bear(key))["changes"]
    assert change["changed_by"] == "key:till-7"


def test_of_a_key_its_digest_is_kept_alone(database: OrdersDatabase) -> None:
    key = create_key(database.environment)
    [(row,)] = database.execute("SELECT api_key::text FROM lakebase_api.api_key")
    assert digest(key).hex() in str(row)
    assert key not in str(row)
    assert key[13:] not in str(row)


@pytest.mark.parametrize("has_table", [True, False])
def test_other_keys_are_refused_whether_there_is_a_table_or_not(
    database: OrdersDatabase, connect: Callable[[], FlaskClient], has_table: bool
) -> None:
    key = create_key(database.environment) if has_table else make_key()
    client = connect()
    other = make_key()
    forged = key[:13] + other[13:-6]
    for wrong in (other, forged + "000000", key[:-1]):
        assert ask(client, wrong)[0] == 401
    assert ask(client, other)[1] == "The API key is not known, or was revoked."
    assert ask(client, key[:-1])[1].startswith("This is no API key: it was not copied whole")


def test_a_right_id_with_a_wrong_secret_is_not_told_from_an_id_that_is_not_known(
    database: OrdersDatabase, connect: Callable[[], FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create_key(database.environment)
    monkeypatch.setattr("lakebase_api.access.api_keys.make_id", lambda: key[4:12])
    client = connect()
    assert ask(client, make_key()) == (401, "The API key is not known, or was revoked.")
    assert ask(client, key)[0] == 200


def test_a_revoked_key_is_refused_and_the_next_may_have_its_name(
    database: OrdersDatabase, connect: Callable[[], FlaskClient]
) -> None:
    key = create_key(database.environment)
    revoke_key(database.environment)
    assert ask(connect(), key)[0] == 401
    with pytest.raises(KeysRefused, match="no key billing"):
        revoke_key(database.environment)
    other = create_key(database.environment)
    assert ask(connect(), other)[0] == 200
    assert [row[-1] for row in list_keys(database.environment)] == ["revoked", "live"]


def test_an_expired_key_is_refused_with_that_reason_once_it_is_known_to_be_right(
    database: OrdersDatabase, connect: Callable[[], FlaskClient]
) -> None:
    key = create_key(database.environment, days=30)
    assert ask(connect(), key)[0] == 200
    database.execute("UPDATE lakebase_api.api_key SET expires_at = now() - interval '1 second'")
    assert ask(connect(), key) == (401, "The API key has expired.")
    [row] = list_keys(database.environment)
    assert row[-1] == "expired"
    with pytest.raises(KeysRefused, match="no key billing that is accepted"):
        rotate_key(database.environment)


def test_after_a_rotation_both_keys_are_let_in_the_old_one_for_a_day_and_the_new_one_as_long_as_it_lived(
    database: OrdersDatabase, connect: Callable[[], FlaskClient]
) -> None:
    old = create_key(database.environment, days=30)
    new = rotate_key(database.environment)
    client = connect()
    assert ask(client, old)[0] == ask(client, new)[0] == 200
    lives = database.execute(
        "SELECT id, round(extract(epoch FROM expires_at - now()) / 3600) FROM lakebase_api.api_key ORDER BY 2"
    )
    assert lives == [(old[4:12], 24), (new[4:12], 720)]
    rotate_key(database.environment)
    hours = database.execute(
        "SELECT round(extract(epoch FROM expires_at - now()) / 3600) FROM lakebase_api.api_key ORDER BY 1"
    )
    assert hours == [(24,), (24,), (720,)]


def test_a_name_is_given_once_also_by_two_who_make_it_at_the_same_time(database: OrdersDatabase) -> None:
    create_key(database.environment, "first")

    def create(_: int) -> str:
        try:
            return create_key(database.environment)
        except KeysRefused as refusal:
            return str(refusal)

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(create, range(4)))
    assert sum(text.startswith("lbk_") for text in made) == 1
    assert sum("There is a key billing" in text for text in made) == 3


@pytest.mark.parametrize("name", ["", "two words", "a:b", "-x", "x" * 64, "é"])
def test_a_name_has_nothing_that_could_be_taken_for_something_else(
    database: OrdersDatabase, name: str
) -> None:
    with pytest.raises(KeysRefused, match="A name has"):
        create_key(database.environment, name)


def test_the_use_of_a_key_is_noted_by_the_hour_with_the_next_load(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    key, unused = create_key(database.environment), create_key(database.environment, "other")
    app = open_app(database.environment)
    assert ask(app.test_client(), key)[0] == 200
    ring = get_service(app).authenticator._keys
    ring._load()
    used = database.execute(
        "SELECT id FROM lakebase_api.api_key WHERE last_used_at = date_trunc('hour', now())"
    )
    assert used == [(key[4:12],)]
    assert list_keys(database.environment)[1][4] == "-"
    assert unused[4:12] == list_keys(database.environment)[1][1]


def test_an_app_that_may_only_read_the_table_lets_keys_in(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    key = create_key(database.environment)
    database.execute("ALTER TABLE lakebase_api.api_key OWNER TO postgres")
    database.execute("GRANT SELECT ON lakebase_api.api_key TO orders_app")
    app = open_app(database.environment)
    assert ask(app.test_client(), key)[0] == 200
    get_service(app).authenticator._keys._load()
    assert ask(app.test_client(), key)[0] == 200


def test_an_app_that_may_not_read_the_table_cannot_tell(
    database: OrdersDatabase, connect: Callable[[], FlaskClient]
) -> None:
    key = create_key(database.environment)
    database.execute("ALTER TABLE lakebase_api.api_key OWNER TO postgres")
    assert ask(connect(), key)[0] == 503


def test_a_table_that_somebody_else_made_is_granted_to_the_app(
    database: OrdersDatabase, open_app: AppOpener
) -> None:
    database.execute(f"CREATE ROLE \"ada@{database.name}\" LOGIN PASSWORD '{PASSWORD}'")
    database.execute(f'GRANT CREATE ON DATABASE {database.name} TO "ada@{database.name}"')
    ada = database.server.conninfo(database.name, f"ada@{database.name}", PASSWORD)
    with psycopg.connect(ada, autocommit=True) as connection:
        KeyTable(connection, "lakebase_api").make("orders_app")
    key = make_key()
    insert = sql.SQL("INSERT INTO lakebase_api.api_key (id, digest, name) VALUES ({}, {}, 'x')")
    with psycopg.connect(ada, autocommit=True) as connection:
        connection.execute(insert.format(sql.Literal(key[4:12]), sql.Literal(digest(key))))
    app = open_app(database.environment)
    assert ask(app.test_client(), key)[0] == 200
    get_service(app).authenticator._keys._load()
    [(_, _, is_used)] = database.execute(KEYS)
    assert is_used


def test_a_list_shows_what_is_known_and_no_digest(database: OrdersDatabase) -> None:
    key = create_key(database.environment, "till", days=1)
    [row] = list_keys(database.environment)
    assert row[:2] == ["till", key[4:12]]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", moment) for moment in row[2:4])
    assert row[4:] == ["-", "live"]
