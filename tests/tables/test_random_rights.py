"""Whatever the rights, a caller sees, counts and changes what a view of their rows and columns has."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from lakebase_api.local.data import load_declared
from lakebase_api.local.postgres import EmbeddedPostgres
from lakebase_api.table.declaration import Column, Writes
from tests.tables.every.serving import serve
from tests.tables.random_declarations import declarations
from tests.tables.random_rights import DrawnRights, Seen, rights_to, see
from tests.tables.served import Key, Served
from tests.tables.statements import (
    READS,
    change,
    check_that_a_table_without_changes_takes_none,
    check_that_each_key_leads_to_its_row,
    check_that_every_form_has_every_row,
    list_changes,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    # hypothesis looks whether strategies draw random numbers on their own: threads of the app do meanwhile.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]
# Few, since each is a database, an app, and some thousand requests.
EXAMPLES = 12
# A table all of whose changeable columns are hidden has changes all the same, which are refused otherwise.
SEEN_READS = [check for check in READS if check is not check_that_a_table_without_changes_takes_none]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    # What fails is small enough, and to look for less takes minutes.
    phases=[Phase.generate],
)
@given(declarations(), st.data(), st.integers(0, 1000))
def test_nothing_outside_is_ever_seen_counted_or_changed(
    server: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
    declared: str,
    data: st.DataObject,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("rights")
    [table] = load_declared(_write(folder / "tables.toml", declared))
    rights = data.draw(rights_to(table))
    note(declared)
    note(rights.spell())
    path = _write(folder / "rights.toml", rights.spell())
    more = {"RIGHTS_FILE": str(path), "TRUST_FORWARDED_IDENTITY": "true"}
    with serve(server, [table], declared, seed, **more) as all_served:
        served = all_served[table.name]
        seen = see(served, rights)
        for check in SEEN_READS:
            if list_keys(seen) or check is not check_that_each_key_leads_to_its_row:
                check(seen)
        check_that_rows_outside_are_not_there(served, seen)
        check_that_hidden_columns_are_not_there(seen)
        check_changes(served, seen, rights)


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def list_keys(served: Served) -> list[Key]:
    """The keys that a path may have."""
    return list(filter(served.can_ask_for, map(served.key_of, served.expect())))


def check_that_rows_outside_are_not_there(served: Served, seen: Seen) -> None:
    """By key, by several keys, by history, and to change."""
    outside = [key for key in list_keys(served) if key not in set(list_keys(seen))]
    for key in outside[:10]:
        path = served.path + served.spell_path(key)
        assert served.client.get(path).status_code == 404
        body = seen.read("", {"keys": served.spell_asked(key)})
        assert (seen.rows_of(body), len(body["missing"])) == ([], 1)
        refusal = 403 if seen.table.writes is Writes.OFF else 404
        for column in seen.table.changeable:
            assert ask_to_change(seen, key, column, list_changes(column)[0]) == refusal, (key, column.name)
            assert served.client.get(f"{path}/history").status_code == 404


def check_that_hidden_columns_are_not_there(seen: Seen) -> None:
    """As if they were not declared: not to be shown, sorted or filtered by, or changed."""
    for column in seen.table.hidden:
        for query in ({"fields": column.name}, {"sort": column.name}, {column.name: "x"}):
            answer = seen.client.get(f"{seen.path}/stream", query_string=query)
            assert answer.status_code == 422, query
        if column.change and (keys := list_keys(seen)):
            assert ask_to_change(seen, keys[0], column, list_changes(column)[0]) == 403


def check_changes(served: Served, seen: Seen, rights: DrawnRights) -> None:
    """A change shows where it is made, and one that moves a row out is refused."""
    if served.table.writes is Writes.OFF or not (keys := list_keys(seen)):
        return
    turns = itertools.cycle(keys)
    for column in seen.table.changeable:
        for value in list_changes(column)[:3]:
            key = next(turns)
            if column.name not in rights.filtered:
                change(seen, key, {column: value})
                continue
            with served.connection.transaction(force_rollback=True):
                served.change(key, column.name, value)
                stays = key in set(list_keys(seen))
            if stays:
                change(seen, key, {column: value})
            else:
                assert ask_to_change(seen, key, column, value) == 403
    check_that_every_form_has_every_row(seen)


def ask_to_change(served: Served, key: Key, column: Column, value: str | None) -> int:
    """The status of the answer."""
    assert column.change is not None
    body = f"{{{json.dumps(column.name)}: {served.show(column, value)}}}"
    path = f"{served.path}{served.spell_path(key)}/{column.change.path}"
    answer = served.client.post(path, data=body, content_type="application/json")
    note(answer.text)
    return answer.status_code
