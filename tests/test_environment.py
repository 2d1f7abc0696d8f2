import re
from pathlib import Path

import certifi
import pytest

from lakebase_api.contradictions import find_risks
from lakebase_api.environment import load_settings
from lakebase_api.settings import VARIABLES, Settings, TargetKind
from tests.environments import ENDPOINT, EVERYTHING, INSTANCE, STATIC, mistakes

SETTINGS_PAGE = Path(__file__).parent.parent / "docs/settings.md"


def test_the_first_target_that_is_set_is_taken() -> None:
    assert load_settings(EVERYTHING).target is TargetKind.AUTOSCALING
    assert load_settings({**STATIC, **INSTANCE}).target is TargetKind.PROVISIONED
    assert load_settings(STATIC).target is TargetKind.STATIC


@pytest.mark.parametrize("name", ["LAKEBASE_ENDPOINT", "PGENDPOINT", "ENDPOINT_NAME"])
def test_the_endpoint_has_three_names(name: str) -> None:
    assert load_settings({name: "projects/p/branches/b/endpoints/e"}).target is TargetKind.AUTOSCALING


def test_the_names_of_libpq_come_before_those_of_the_template() -> None:
    template = {
        "DATABRICKS_DATABASE_NAME": "shop",
        "DATABRICKS_DATABASE_PORT": "6000",
        "DATABRICKS_USER_NAME": "ann",
    }
    settings = load_settings({**ENDPOINT, **template})
    assert (settings.pg_database, settings.pg_port, settings.pg_user) == ("shop", 6000, "ann")
    libpq = {"PGDATABASE": "till", "PGPORT": "7000", "PGUSER": "bob"}
    settings = load_settings({**ENDPOINT, **template, **libpq})
    assert (settings.pg_database, settings.pg_port, settings.pg_user) == ("till", 7000, "bob")


def test_an_empty_variable_is_an_absent_one() -> None:
    assert load_settings({**STATIC, "LAKEBASE_ENDPOINT": "", "DB_POOL_SIZE": ""}).pool_size == 5


def test_all_mistakes_are_reported_together_by_name() -> None:
    wrong = {
        "LAKEBASE_ENDPOINT": "my-endpoint",
        "PGPORT": "0",
        "PGSSLMODE": "sometimes",
        "DB_POOL_SIZE": "many",
        "WEB_THREADS": "0",
        "TOKEN_REFRESH_INTERVAL": "4000",
        "LOG_LEVEL": "LOUD",
        "LOG_FORMAT": "xml",
        "DATABRICKS_CLIENT_SECRET": "s",
        "DATABRICKS_TOKEN": "t",
        **INSTANCE,
    }
    found = mistakes(wrong)
    assert [line.split(":")[0] for line in found] == [
        "LAKEBASE_ENDPOINT",
        "PGPORT",
        "PGSSLMODE",
        "TOKEN_REFRESH_INTERVAL",
        "DB_POOL_SIZE",
        "WEB_THREADS",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "DATABRICKS_CLIENT_ID",
        "DATABRICKS_TOKEN, DATABRICKS_CLIENT_SECRET",
    ]


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, ["LAKEBASE_ENDPOINT, DATABRICKS_DATABASE_INSTANCE, PGHOST with PGPASSWORD"]),
        ({"PGHOST": "localhost"}, ["PGPASSWORD", "PGUSER"]),
        ({"PGPASSWORD": "x", "PGUSER": "ann"}, ["PGHOST"]),
        ({**STATIC, "DB_POOL_SIZE": "0", "DB_MAX_OVERFLOW": "0"}, ["DB_POOL_SIZE, DB_MAX_OVERFLOW"]),
        ({**STATIC, "ENV_FILE": "/no/such/file"}, ["ENV_FILE"]),
        ({**STATIC, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/no/such/file"}, ["PGSSLROOTCERT"]),
        ({**STATIC, "PGSSLROOTCERT": certifi.where()}, ["PGSSLROOTCERT"]),
        ({**ENDPOINT, "DATABRICKS_CLIENT_SECRET": "s"}, ["DATABRICKS_CLIENT_ID"]),
        ({**STATIC, "BIND": "8000 please"}, ["BIND"]),
        ({**STATIC, "BIND": "127.0.0.1:65536"}, ["BIND"]),
        ({**STATIC, "CORS_ORIGINS": ","}, ["CORS_ORIGINS"]),
        ({**STATIC, "CORS_CREDENTIALS": "true"}, ["CORS_CREDENTIALS"]),
        ({**STATIC, "CORS_CREDENTIALS": "true", "CORS_ORIGINS": "*"}, ["CORS_CREDENTIALS, CORS_ORIGINS"]),
        ({**STATIC, "CURSOR_SECRET": "fifteen-letters"}, ["CURSOR_SECRET"]),
        ({**STATIC, "DRAIN_DELAY": "8.5"}, ["DRAIN_DELAY, SHUTDOWN_TIME"]),
        ({**STATIC, "SHUTDOWN_TIME": "5"}, ["DRAIN_DELAY, SHUTDOWN_TIME"]),
        ({**STATIC, "SHUTDOWN_TIME": "3"}, ["SHUTDOWN_TIME"]),
        ({**STATIC, "PGHOSTADDR": "10.0.0.1"}, ["PGHOSTADDR"]),
        (
            {**STATIC, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:pw@here"},
            ["OTEL_EXPORTER_OTLP_ENDPOINT"],
        ),
        ({"LAKEBASE_ENDPOINT": "mine"}, ["LAKEBASE_ENDPOINT"]),
        (
            {
                **ENDPOINT,
                "LAKEBASE_READ_ENDPOINT": "projects/p/branches/b/endpoints/r",
                "PGHOST_READ": "r.example",
            },
            ["LAKEBASE_READ_ENDPOINT, PGHOST_READ"],
        ),
        (
            {**STATIC, "LAKEBASE_READ_ENDPOINT": "projects/p/branches/b/endpoints/r"},
            ["LAKEBASE_READ_ENDPOINT"],
        ),
        ({**STATIC, "PGPORT_READ": "5433"}, ["PGPORT_READ"]),
        (
            {**STATIC, "PGHOST": "localhost", "PGSSLMODE": "disable", "PGHOST_READ": "r.example"},
            ["PGSSLMODE"],
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(environ: dict[str, str], names: list[str]) -> None:
    assert [line.split(":")[0] for line in mistakes(environ)] == names


@pytest.mark.parametrize(
    "path",
    [
        "e",
        "projects/p",
        "projects/p/branches/b/endpoints/",
        "projects//branches/b/endpoints/e",
        "x/projects/p/branches/b/endpoints/e",
    ],
)
def test_an_endpoint_of_another_form_is_refused(path: str) -> None:
    assert mistakes({"LAKEBASE_ENDPOINT": path})[0].startswith("LAKEBASE_ENDPOINT: Must have the form")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_mode_that_does_not_enforce_tls_is_for_this_machine_only(mode: str) -> None:
    for host in (
        "localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "/var/run/postgresql",
        "/tmp,localhost",
        "127.0.0.1, ::1",
    ):
        assert load_settings({**STATIC, "PGHOST": host, "PGSSLMODE": mode}).pg_sslmode == mode
    for host in (
        "db.example.com",
        "10.0.0.1",
        "localhost.example.com",
        "/tmp,db.example.com",
        "localhost,10.0.0.1",
    ):
        assert mistakes({**STATIC, "PGHOST": host, "PGSSLMODE": mode})[0].startswith("PGSSLMODE")
    assert mistakes({**ENDPOINT, "PGSSLMODE": mode})[0].startswith("PGSSLMODE")


def test_tls_is_required_by_default_and_verified_against_usable_authorities() -> None:
    assert load_settings(STATIC).pg_sslmode == "require"
    assert load_settings(STATIC).pg_sslrootcert is None
    for mode in ("verify-ca", "verify-full"):
        assert load_settings({**STATIC, "PGSSLMODE": mode}).pg_sslrootcert == certifi.where()


def test_a_file_without_certificates_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    for content in (
        "",
        "not a certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ):
        file.write_text(content)
        environ = {**STATIC, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(file)}
        assert mistakes(environ) == [f"PGSSLROOTCERT: no certificates can be read from {file}."]


def test_a_file_does_not_take_what_only_the_environment_can_say(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("OTEL_SERVICE_NAME=shop\nDATABRICKS_CONFIG_PROFILE=shop\nPGSERVICE=shop\nOTHER=1\n")
    assert mistakes({**STATIC, "ENV_FILE": str(file)}) == [
        f"DATABRICKS_CONFIG_PROFILE: is not read from {file}; set it in the environment.",
        f"PGSERVICE: is not read from {file}; set it in the environment.",
        f"OTEL_SERVICE_NAME: is not read from {file}; set it in the environment.",
    ]


def test_the_platforms_proxy_is_trusted_on_the_platform_and_nobodys_elsewhere() -> None:
    assert load_settings(STATIC).trusted_hops == 0
    app = {**STATIC, "DATABRICKS_APP_NAME": "orders-api"}
    assert load_settings(app).trusted_hops == 1
    assert load_settings({**app, "FORWARDED_HOPS": "0"}).trusted_hops == 0
    assert load_settings({**STATIC, "FORWARDED_HOPS": "10"}).trusted_hops == 10
    for wrong in ("-1", "11", "1.5", "all"):
        assert mistakes({**STATIC, "FORWARDED_HOPS": wrong})[0].startswith("FORWARDED_HOPS: ")


def test_a_file_gives_settings_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("PGHOST=from-file\nPGUSER=ann\nPGPASSWORD='p$w'\nDB_POOL_SIZE=3\n# a comment\n")
    settings = load_settings({"ENV_FILE": str(file), "PGHOST": "from-environment"})
    assert (settings.pg_host, settings.pg_password, settings.pool_size) == ("from-environment", "p$w", 3)


def test_a_file_that_cannot_be_read_is_a_mistake_that_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("PGHOST=localhost\nthis is no setting\nPGUSER=ann\nPGPASSWORD=pw\n")
    assert mistakes({"ENV_FILE": str(file)}) == [f"ENV_FILE: {file} line 2: not NAME=value."]
    file.write_bytes(b"PGHOST=\xff\xfe")
    assert mistakes({**STATIC, "ENV_FILE": str(file)})[0].startswith(f"ENV_FILE: {file} cannot be read")


def test_too_few_threads_for_probes_are_a_risk_that_is_said() -> None:
    assert list(find_risks(load_settings(STATIC))) == []
    [risk] = find_risks(load_settings({**STATIC, "WEB_THREADS": "74"}))
    assert risk.startswith("WEB_THREADS=74 does not exceed")


def test_what_leads_to_another_database_is_a_risk_that_is_said() -> None:
    assert [risk.split()[0] for risk in find_risks(load_settings(EVERYTHING))] == [
        "DATABRICKS_DATABASE_INSTANCE",
        "PGPASSWORD",
    ]
    assert [risk.split()[0] for risk in find_risks(load_settings({**STATIC, **INSTANCE}))] == ["PGPASSWORD"]
    assert list(find_risks(load_settings(ENDPOINT))) == []


def test_dot_env_is_read_where_the_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PGHOST=localhost\nPGUSER=ann\nPGPASSWORD=pw\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings({}).pg_host == "localhost"


def test_the_page_of_settings_documents_each_with_its_default() -> None:
    rows = re.findall(
        r"^\| (`[A-Z_`, ]+`) \| (.*?) \| (.*) \|$", SETTINGS_PAGE.read_text(), flags=re.MULTILINE
    )
    documented = {names: (default, meaning) for names, default, meaning in rows}
    defaults = Settings()
    expected = {}
    for attribute, variable in VARIABLES.items():
        value = getattr(defaults, attribute)
        default = variable.shown_default or ("–" if value in (None, ()) else f"`{_format(value)}`")
        expected[", ".join(f"`{name}`" for name in variable.names)] = (default, variable.help)
    assert documented == expected


def _format(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
