"""What holds for every table holds for tables declared at random."""

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from lakebase_api.local.data import load_declared
from lakebase_api.local.postgres import EmbeddedPostgres
from tests.tables.every.serving import serve
from tests.tables.random_declarations import declarations
from tests.tables.statements import CHANGES, READS

# hypothesis looks whether strategies draw random numbers on their own: threads of the app do meanwhile.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

# About a minute: each is a database, an app, and some thousand requests.
EXAMPLES = 20


# The same examples each time: a run that looks for new ones belongs elsewhere.
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    # What fails is small enough, and to look for less takes minutes.
    phases=[Phase.generate],
)
@given(declarations(), st.integers(0, 1000))
def test_what_holds_for_every_table_holds_for_any(
    server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, declared: str, seed: int
) -> None:
    note(declared)
    path = tmp_path_factory.mktemp("declared") / "tables.toml"
    path.write_text(declared)
    tables = load_declared(path)
    with serve(server, tables, declared, seed) as served:
        for check in (*READS, *CHANGES):
            check(served[tables[0].name])
