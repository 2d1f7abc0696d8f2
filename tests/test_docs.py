"""The pages for people: that they lead to each other, say each thing once, and name what there is."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakebase_api.__main__ import main
from lakebase_api.settings import VARIABLES
from tests.gunicorn_process import ROOT
from tests.http.unopened import build_app

README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
ALL = [README, ROOT / "CHANGELOG.md", ROOT / "benchmarks/README.md", *PAGES]
# Variables of gunicorn, of OpenTelemetry, of Databricks' SDK and CLI, and of a workflow that deploys.
OF_OTHERS = ("GUNICORN_", "OTEL_", "BUNDLE_", "DATABRICKS_CONFIG_PROFILE", "STORAGE_")
# Longer ones are no accident of words when they are there twice.
LONG = 80
# A command in full, or as the text names it: `setup --prune`.
COMMAND = re.compile(
    r"python -m lakebase_api ([^`\n|#)$]+)|`((?:doctor|grant|introspect|keys|new|setup) [^`\n]+)`"
)
MAKE = re.compile(r"(?:^|`|\$ |=\S+ )make((?: [A-Za-z][\w-]*(?:=(?:\"[^\"]*\"|[^\s`]*))?)+)", re.MULTILINE)


def strip_code(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)


def list_anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", strip_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def list_links(page: Path) -> list[str]:
    """Links to files of the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", strip_code(page.read_text()))
    return [link for link in found if "://" not in link]


def list_sentences(page: Path) -> Iterator[str]:
    """Sentences of the text, each as words with one blank between."""
    for paragraph in re.split(r"\n\s*\n|^- |\|", strip_code(page.read_text()), flags=re.MULTILINE):
        for sentence in re.split(r"(?<=[.:;])\s+", " ".join(paragraph.split())):
            if len(sentence) > LONG:
                yield sentence


def list_commands() -> Iterator[tuple[str, list[str]]]:
    """Each way in which the pages call a command of the package: where, and its words."""
    for page in ALL:
        for full, named in COMMAND.findall(page.read_text()):
            yield page.name, (full or named).split()


def read_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0, command
    return capsys.readouterr().out


def test_the_readme_is_for_the_first_ten_minutes() -> None:
    assert len(README.read_bytes()) <= 12_000


def test_the_readme_leads_to_each_page_by_one_line() -> None:
    table = README.read_text().partition("## Where the rest is")[2]
    assert sorted(re.findall(r"^\| \[(docs/\S+)\]\(\1\) \| \S", table, re.MULTILINE)) == [
        f"docs/{page.name}" for page in PAGES
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_begins_with_what_it_is_for(page: Path) -> None:
    title, blank, purpose, after, *_ = page.read_text().splitlines()
    assert title.startswith("# ")
    assert blank == after == ""
    assert re.fullmatch(r"[A-Z].{30,}\.", purpose)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in list_links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in list_anchors(target), link


def test_no_sentence_is_on_two_pages() -> None:
    said = [(sentence, page.name) for page in ALL for sentence in set(list_sentences(page))]
    by_sentence = itertools.groupby(sorted(said), key=lambda pair: pair[0])
    pages = {sentence: [name for _, name in group] for sentence, group in by_sentence}
    assert {sentence: names for sentence, names in pages.items() if len(names) > 1} == {}


def test_each_command_that_is_named_exists_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    commands = list(list_commands())
    assert len(commands) > 20
    for page, words in commands:
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        nested = 2 if words[:1] == ["keys"] else 1
        command = [word for word in words[:nested] if word.isalpha()]
        told = read_help(capsys, command)
        for option in options:
            assert option in told, (page, words)


def test_each_target_of_make_that_is_named_exists_with_its_variables() -> None:
    makefile = (ROOT / "Makefile").read_text()
    found = [(page.name, words.split()) for page in ALL for words in MAKE.findall(page.read_text())]
    assert len(found) > 15
    for page, [target, *variables] in found:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page, target)
        for variable in variables:
            name, given, _ = variable.partition("=")
            if given:
                assert f"$({name})" in makefile, (page, variable)


def test_each_module_that_is_run_by_name_exists() -> None:
    for page in ALL:
        for module in re.findall(
            r"python -m ((?:benchmarks|lakebase_api|tests)(?:\.\w+)*)", page.read_text()
        ):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), (page.name, module)


def test_the_table_of_endpoints_has_each_path_that_is_served() -> None:
    table = README.read_text().partition("## Endpoints")[2].partition("\n## ")[0]
    named = set()
    for methods, cell in re.findall(r"^\| ([A-Z, ]+) (`/.*?`) \|", table, re.MULTILINE):
        for path in re.findall(r"`(/[^`?]*)", cell):
            named |= {(method, re.sub(r"\{\w+\}", "{}", path)) for method in methods.split(", ")}
    served = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in build_app(SYNCED_TABLE="main.shop.orders").url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
        # Another base, files of the pages, and the events of the audit, which the table names as one.
        if not rule.rule.startswith(("/api/v1", "/docs/assets", "/pages/", "/audit/"))
    }
    assert named == served


def test_each_setting_that_is_named_exists() -> None:
    known = {name for variable in VARIABLES.values() for name in variable.names}
    for page in (README, *PAGES):
        named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", page.read_text()))
        unknown = {name for name in named - known if not name.startswith(OF_OTHERS)}
        assert unknown == set(), page.name


def test_each_kind_of_problem_that_is_named_exists() -> None:
    answer = build_app().test_client().get("/problems").json
    assert answer is not None
    kinds = {problem["type"].rpartition("/")[2] for problem in answer["problems"]}
    for page in (README, *PAGES):
        named = set(re.findall(r"\b[45]\d\d `([a-z]+(?:-[a-z]+)+)`", page.read_text()))
        assert named <= kinds, page.name
