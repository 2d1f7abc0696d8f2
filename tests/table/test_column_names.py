import pytest

from lakebase_api.table.loading import read_tables

DECLARED = """
[things]
source = "public.things"
key = ["id"]
one = "thing"
[things.columns]
id = {{ type = "bigint" }}
{name} = {{ type = "text" }}
"""


@pytest.mark.parametrize("name", [r'"a\"b"', r'"a\\b"', r'"a\tb"'])
def test_a_name_that_no_answer_can_have_is_refused_by_line(name: str) -> None:
    _, mistakes = read_tables(DECLARED.format(name=name), "tables.toml")
    assert len(mistakes) == 1
    assert mistakes[0].startswith("tables.toml line 8: things.columns.")
    assert "rename it in a view" in mistakes[0]
