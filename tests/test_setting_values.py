"""Odd bytes around and in the values of settings, and secrets among them."""

from dataclasses import replace
from pathlib import Path

import pytest

from lakebase_api.environment import load_settings
from tests.environments import ENDPOINT, STATIC, mistakes

BESIDE = ["{}\n", "{}\r\n", " {}", "\t{} ", "\ufeff{}", "{}\u00a0"]


@pytest.mark.parametrize("around", BESIDE)
def test_blanks_and_line_ends_around_a_value_do_not_count(around: str, tmp_path: Path) -> None:
    values = {**STATIC, "PGDATABASE": "shop", "DEFAULT_POSTGRES_TABLE": "orders", "DB_POOL_SIZE": "3"}
    environ = {name: around.format(value) for name, value in values.items()}
    assert load_settings(environ) == load_settings(values)
    file = tmp_path / "settings"
    file.write_text("".join(f'{name}="{value}"\n' for name, value in environ.items()))
    assert load_settings({"ENV_FILE": f"{file}\n", "PGHOST": " "}) == replace(
        load_settings(values), env_file=str(file)
    )


@pytest.mark.parametrize(
    "odd", ["\0", "\n", "\r\n", "\t", "\x1b[31m", "\x7f", "\u0085", "\u2028", "\udcff"], ids=ascii
)
def test_control_characters_and_broken_bytes_are_refused_by_name_and_not_shown(odd: str) -> None:
    principal = {**ENDPOINT, "DATABRICKS_CLIENT_ID": "id", "DATABRICKS_CLIENT_SECRET": "secret"}
    for names in ({**STATIC, "PGDATABASE": "", "STATUS_SCHEMA": ""}, principal):
        for name in names:
            found = mistakes({**names, name: f"hunter{odd}2"})
            assert [line.partition(":")[0] for line in found] == [name]
            assert "hunter" not in found[0]
            assert odd not in found[0]


@pytest.mark.parametrize("name", ["DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID"])
@pytest.mark.parametrize("value", ["dapi 123", "dapi\u200b123", "dapí123"])
def test_what_cannot_stand_in_a_header_is_refused_by_name(name: str, value: str) -> None:
    assert mistakes({**ENDPOINT, name: value})[0].startswith(f"{name}: ")


def test_passwords_may_have_any_printable_character() -> None:
    for password in ("p#w", "$HOME", "p w", "p\"w'", "pä€👩\u200d💻", "%41\\n"):
        assert load_settings({**STATIC, "PGPASSWORD": password}).pg_password == password


def test_words_may_be_in_upper_and_lower_case() -> None:
    loud = {"LOG_LEVEL": "debug", "LOG_FORMAT": "JSON", "STATUS_WRITES": "Off", "PGSSLMODE": "Require"}
    settings = load_settings({**STATIC, **loud})
    found = (settings.log_level, settings.log_format, settings.orders_writes, settings.pg_sslmode)
    assert found == ("DEBUG", "json", "off", "require")
    assert load_settings({**STATIC, "STATUS_TRANSITIONS": "O>P, O>F"}).status_transitions == ["O>P", "O>F"]


def test_no_secret_is_in_a_repr_or_the_description() -> None:
    secrets = {"PGPASSWORD": "hunter2", "DATABRICKS_TOKEN": "dapi-hunter2"}
    settings = load_settings({**STATIC, **secrets})
    other = load_settings({**ENDPOINT, "DATABRICKS_CLIENT_ID": "id", "DATABRICKS_CLIENT_SECRET": "hunter2"})
    for shown in (repr(settings), repr(other), str(settings.describe()), str(other.describe())):
        assert "hunter2" not in shown
    assert settings.describe()["PGPASSWORD"] == "(set)"


def test_no_mistake_shows_a_value_that_may_be_secret() -> None:
    found = mistakes(
        {"PGPASSWORD": "hunter2", "DATABRICKS_TOKEN": "hunter2", "DATABRICKS_CLIENT_SECRET": "hunter2"}
    )
    assert not [line for line in found if "hunter2" in line]
