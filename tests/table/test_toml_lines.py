"""The line of each key, in every form that TOML has for it."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakebase_api.table.toml_lines import Path, Repetition, find_lines, find_repetition

EVERY_FORM = '''# a comment with [brackets] and = signs
top = 1
"quoted key" = 2 # = { [
'literal.key' = 3
a.b."c.d" = 4

[ section . sub ]
date = 1979-05-27 07:32:00
text = """
[not.a.header]
key = "no key"
\\""" quoted ""\\"
"""
ended = """a "quote""""
literal = \'\'\'
'it' = "is"
\'\'\'\'
after = 5
array = [
  1, # one
  [ 2,
    3 ],
  { x = 1, y = { z = "}" } },
]
inline = { first = "a,b", second = [1, 2], third.fourth = true }

[[things]]
name = "one"
[[things]]
name = "two"
[things.part]
size = 1
[[things.inner]]
deep = 1
[[things.inner]]
deep = 2
'''


def walk(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every key and element that there is."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from walk(below, (*path, key))


def test_each_key_and_element_has_its_line_in_every_form() -> None:
    lines = find_lines(EVERY_FORM)
    assert set(lines) == set(walk(tomllib.loads(EVERY_FORM)))
    written = EVERY_FORM.splitlines()

    def find(*path: str | int) -> str:
        return written[lines[path] - 1].strip()

    assert find("quoted key") == '"quoted key" = 2 # = { ['
    assert find("literal.key") == "'literal.key' = 3"
    assert find("a", "b", "c.d").startswith("a.b")
    assert find("section", "sub") == "[ section . sub ]"
    assert find("section", "sub", "after") == "after = 5"
    assert find("section", "sub", "array", 0) == "1, # one"
    assert find("section", "sub", "array", 1, 1) == "3 ],"
    assert find("section", "sub", "array", 2, "y", "z") == '{ x = 1, y = { z = "}" } },'
    assert find("section", "sub", "inline", "third", "fourth").startswith("inline")
    assert find("things", 1, "name") == 'name = "two"'
    assert find("things", 1, "part", "size") == "size = 1"
    assert find("things", 1, "inner", 1, "deep") == "deep = 2"


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True),
    st.from_regex(r'"[a-z .#=\[\]{}\']{0,5}"', fullmatch=True),
    st.from_regex(r"'[a-z .#=\[\]{}\"\\]{0,5}'", fullmatch=True),
)
SCALARS = st.one_of(
    st.sampled_from(
        ["1", "-2.5e3", "true", "1979-05-27T07:32:00Z", "07:32:00", '""', "''", '"""a\n"" ""\n"""']
    ),
    st.from_regex(r'"([a-z #=\[\]{},\']|\\"|\\\\){0,8}"', fullmatch=True),
    st.from_regex(r'"""([a-z #=\n\[\]{},\']|\\"|\\\\|"a){0,8}"""', fullmatch=True),
    st.from_regex(r"'''([a-z #=\n\[\]{},\"\\]|'a){0,8}'''", fullmatch=True),
)
BREAKS = st.sampled_from(["", " ", "\n", " # [x] = {\n", "\n\n\t"])


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    parts = [f"{draw(BREAKS)}{value}{draw(BREAKS)}" for value in draw(st.lists(values, max_size=3))]
    return f"[{','.join(parts)}{draw(BREAKS)}]"


@st.composite
def inline_tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(KEYS, values), max_size=3))
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(arrays(inner), inline_tables(inner)), max_leaves=6)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, DOTTED, VALUES),
    st.builds("[ {} ]".format, DOTTED),
    st.builds("[[{}]]".format, DOTTED),
    st.just("# a comment"),
    st.just(""),
)


@given(st.lists(STATEMENTS, max_size=6))
def test_whatever_tomllib_reads_has_all_its_lines(statements: list[str]) -> None:
    text = "\n".join(statements)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = find_lines(text)
    assert set(lines) == set(walk(content))
    starts = [1 + sum(before.count("\n") + 1 for before in statements[:at]) for at in range(len(statements))]
    ends = [start + statement.count("\n") for start, statement in zip(starts, statements, strict=True)]
    for path, line in lines.items():
        [at] = [at for at in range(len(statements)) if starts[at] <= line <= ends[at]]
        named = [part for part in path if isinstance(part, str)]
        assert all(part.strip("\"'") in statements[at] for part in named[-1:])


@pytest.mark.parametrize(
    ("text", "path", "first", "second"),
    [
        ("a = 1\nb = 2\n'a' = 3", ("a",), 1, 3),
        ("[x]\na = 1\n\n[ x ]\n", ("x",), 1, 4),
        ("a = { b = 1, b = 2", ("a", "b"), 1, 1),
        ("a = [\n{ b = 1 },\n{ b = 1, b = 1", ("a", 1, "b"), 3, 3),
        ("[[x]]\n[x]", ("x", 0), 1, 2),
        ("[x]\nc = { a = 1 }\n[x.c]", ("x", "c"), 2, 3),
        ("[x]\nc.a = 1\nc.a = 2", ("x", "c", "a"), 2, 3),
    ],
)
def test_a_key_that_is_there_twice_is_found_with_both_lines(
    text: str, path: Path, first: int, second: int
) -> None:
    assert find_repetition(text) == Repetition(path, first, second)


@given(st.lists(STATEMENTS, max_size=6))
def test_whatever_tomllib_reads_repeats_nothing(statements: list[str]) -> None:
    text = "\n".join(statements)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert find_repetition(text) is None
