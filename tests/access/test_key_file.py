"""API keys in a file."""

from pathlib import Path

import pytest

from lakebase_api.access.api_keys import KeptKey, digest, make_key
from lakebase_api.access.key_file import WrongLines, read_key_file, write_line
from tests.access.keys import bear, create_key, list_keys
from tests.conftest import AppOpener, OrdersDatabase

DIGEST = digest("any").hex()


def test_what_is_written_is_read_beside_blank_lines_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    keys = [
        KeptKey("abcd1234", digest(make_key()), "a@b.c"),
        KeptKey("00000000", bytes(32), "x", 1_900_000_000),
    ]
    file.write_text("# for the shop\n\n" + "".join(f"{write_line(key)}\r\n" for key in keys))
    assert read_key_file(str(file)) == {key.id: key for key in keys}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("secret", "is not id:digest:name"),
        (f"short:{DIGEST}:name", "has no id of a key"),
        ("abcd1234:secret:name", "has no SHA-256 of a key"),
        (f"abcd1234:{DIGEST}:two words", "has no name of letters, digits and @._-"),
        (f"abcd1234:{DIGEST}:name:tomorrow", "has an expiry that is no moment of ISO 8601"),
        (f"abcd1234:{DIGEST}:a\nabcd1234:{DIGEST}:b", "line 2: has an id that is there already"),
    ],
)
def test_a_line_that_is_no_key_is_told_by_its_number_and_not_shown(
    tmp_path: Path, line: str, said: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(line)
    with pytest.raises(WrongLines) as caught:
        read_key_file(str(file))
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_key_of_the_file_is_let_in_and_those_of_the_table_are_not(
    database: OrdersDatabase, open_app: AppOpener, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.touch()
    settings = {**database.environment, "API_KEYS_FILE": str(file)}
    of_table = create_key(database.environment)
    key = create_key(settings, days=1)
    file.write_text(f"{write_line(KeptKey(key[4:12], digest(key), 'billing', 4e9))}\n")
    client = open_app(settings).test_client()
    assert client.get("/orders/1", headers=bear(key)).status_code == 200
    assert client.get("/orders/1", headers=bear(of_table)).status_code == 401
    assert client.get("/orders/1").status_code == 401
    assert [row[0] for row in list_keys(settings)] == ["billing"]


def test_a_file_that_cannot_be_read_is_no_reason_to_refuse_a_key(
    unchanged_database: OrdersDatabase, open_app: AppOpener, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.touch()
    client = open_app({**unchanged_database.environment, "API_KEYS_FILE": str(file)}).test_client()
    file.unlink()
    answer = client.get("/orders/1", headers=bear(make_key()))
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["type"] == "/problems/authentication-unavailable"
    assert "Retry-After" in answer.headers
