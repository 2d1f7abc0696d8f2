import re
from dataclasses import replace
from pathlib import Path

import certifi
import pytest

from lakebase_api.environment import SettingsError, load_settings
from lakebase_api.risks import find_risks
from lakebase_api.settings import VARIABLES, Settings, TargetKind

ENDPOINT = {"LAKEBASE_ENDPOINT": "projects/p/branches/b/endpoints/e"}
INSTANCE = {"DATABRICKS_DATABASE_INSTANCE": "shop"}
STATIC = {"PGHOST": "db.example.com", "PGUSER": "ann", "PGPASSWORD": "pw"}
EVERYTHING = {**STATIC, **INSTANCE, **ENDPOINT}

README = Path(__file__).parent.parent / "README.md"


def mistakes(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


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
        ({**STATIC, "PGHOSTADDR": "10.0.0.1"}, ["PGHOSTADDR"]),
        ({"LAKEBASE_ENDPOINT": "mine"}, ["LAKEBASE_ENDPOINT"]),
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


def test_the_address_is_that_of_the_platform_unless_said_otherwise() -> None:
    open_to_all = {**STATIC, "ANONYMOUS": "all"}
    assert load_settings(STATIC).address == "127.0.0.1:8000"
    assert load_settings({**open_to_all, "PORT": "8114"}).address == "0.0.0.0:8114"
    app = {**open_to_all, "PORT": "8114", "DATABRICKS_APP_PORT": "9000"}
    assert load_settings(app).address == "0.0.0.0:9000"
    assert load_settings({**app, "BIND": "[::1]:7000"}).address == "[::1]:7000"


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        ("localhost:8000", "localhost:8000"),
        (":8114", "0.0.0.0:8114"),
        ("[::]:8000", "[::]:8000"),
        ("tcp://10.0.0.1:80", "10.0.0.1:80"),
        ("unix:/tmp/orders.sock", "unix:/tmp/orders.sock"),
        ("unix:orders.sock", "unix:orders.sock"),
        ("fd://3", "fd://3"),
    ],
)
def test_it_listens_where_gunicorn_can(bind: str, address: str) -> None:
    assert load_settings({**STATIC, "BIND": bind, "ANONYMOUS": "all"}).address == address


@pytest.mark.parametrize(
    "bind",
    [
        "8114",
        "localhost",
        "http://0.0.0.0:8114",
        "0.0.0.0:8114/",
        "::1:8000",
        "[::1]",
        "[::g]:8000",
        "256.0.0.1:8000",
        "127.0.0.1:8000,[::1]:8000",
        "*:8000",
        "unix:",
        "unix:/no/such/folder/orders.sock",
        f"unix:/tmp/{'long' * 30}",
        "fd://three",
    ],
)
def test_what_gunicorn_would_die_of_is_refused_by_name(bind: str) -> None:
    assert mistakes({**STATIC, "BIND": bind})[0].startswith("BIND: ")


def test_nothing_but_all_can_be_meant_by_anonymous() -> None:
    assert mistakes({**STATIC, "ANONYMOUS": "maybe"}) == ["ANONYMOUS: Must be one of: all."]


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


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://My-Workspace.cloud.databricks.com/?o=1", "https://my-workspace.cloud.databricks.com"),
        ("adb-12.3.azuredatabricks.net", "https://adb-12.3.azuredatabricks.net"),
        ("http://localhost:8080/login.html#x", "http://localhost:8080"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("'https://x.example.com/browse/folders/1?o=2#job/list'", "https://x.example.com"),
    ],
)
def test_of_the_workspaces_url_scheme_and_host_are_taken(given: str, taken: str) -> None:
    assert load_settings({**ENDPOINT, "DATABRICKS_HOST": given}).databricks_host == taken


@pytest.mark.parametrize(
    "given",
    [
        "None",
        "https://",
        "https:///path",
        "https://https://x.example.com",
        "https//x.example.com",
        "ftp://x.example.com",
        "https://my workspace.example.com",
        "https://ann:hunter2@x.example.com",
        "https://x.example.com:port",
        "https://[::1",
        "https://1.2.3",
        "?o=123",
    ],
)
def test_what_is_no_url_of_a_workspace_is_refused_by_name(given: str) -> None:
    [line] = mistakes({**ENDPOINT, "DATABRICKS_HOST": given})
    assert line.startswith("DATABRICKS_HOST: Must be the URL of the workspace")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "host",
    [
        "db.example.com:5432",
        "https://db.example.com",
        "postgresql://ann:hunter2@db.example.com/shop",
        "[::1]",
        "db.example.com/shop",
        "localhost,",
        "a b",
    ],
)
def test_what_is_no_host_of_a_database_is_refused_by_name_and_not_shown(host: str) -> None:
    [line] = mistakes({**STATIC, "PGHOST": host})
    assert line.startswith("PGHOST: Must be a name, an address or the folder of a socket")
    assert host not in line


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://shop.example.com", ["https://shop.example.com"]),
        ("HTTPS://Shop.Example.com:443", ["https://shop.example.com"]),
        ("http://localhost:3000, https://a.example", ["http://localhost:3000", "https://a.example"]),
        ("http://[::1]:80", ["http://[::1]"]),
        ("capacitor://localhost", ["capacitor://localhost"]),
        ("*", ["*"]),
    ],
)
def test_origins_are_taken_as_browsers_say_them(given: str, taken: list[str]) -> None:
    assert list(load_settings({**STATIC, "CORS_ORIGINS": given}).cors_origins) == taken


@pytest.mark.parametrize(
    "given",
    [
        "https://shop.example.com/",
        "https://*.example.com",
        "https://shop.example.com:*",
        "shop.example.com",
        "https://shop.example.com?",
        "https://ann@shop.example.com",
        "https://.*",
        "https://(a|b).example.com",
        "^https://shop.example.com$",
        "https://shop.example.com,",
        "https://a.example;https://b.example",
        "null",
        ".*",
        "https://shop.example.com:99999",
        "https://300.1.1.1",
    ],
)
def test_what_no_browser_says_of_an_origin_is_refused_by_name(given: str) -> None:
    [line] = mistakes({**STATIC, "CORS_ORIGINS": given})
    assert line.startswith("CORS_ORIGINS: Must be * or origins such as")


def test_words_may_be_in_upper_and_lower_case() -> None:
    loud = {"LOG_LEVEL": "debug", "LOG_FORMAT": "JSON", "STATUS_WRITES": "Off", "PGSSLMODE": "Require"}
    settings = load_settings({**STATIC, **loud})
    found = (settings.log_level, settings.log_format, settings.status_writes, settings.pg_sslmode)
    assert found == ("DEBUG", "json", "off", "require")
    assert load_settings({**STATIC, "STATUS_TRANSITIONS": "O>P, O>F"}).status_transitions == ["O>P", "O>F"]


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
    file.write_text("DATABRICKS_CONFIG_PROFILE=shop\nPGSERVICE=shop\nOTHER=1\n")
    assert mistakes({**STATIC, "ENV_FILE": str(file)}) == [
        f"DATABRICKS_CONFIG_PROFILE: is not read from {file}; set it in the environment.",
        f"PGSERVICE: is not read from {file}; set it in the environment.",
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
    [risk] = find_risks(load_settings({**STATIC, "WEB_THREADS": "55"}))
    assert risk.startswith("WEB_THREADS=55 does not exceed")


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


def test_the_readme_documents_each_setting_with_its_default() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \| (.*?) \| (.*) \|$", README.read_text(), flags=re.MULTILINE)
    documented = {names: (default, meaning) for names, default, meaning in rows}
    defaults = Settings()
    expected = {}
    for attribute, variable in VARIABLES.items():
        value = getattr(defaults, attribute)
        default = variable.shown_default or ("–" if value in (None, ()) else f"`{_format(value)}`")
        expected[", ".join(f"`{name}`" for name in variable.names)] = (default, variable.help)
    assert documented == expected


def _format(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
