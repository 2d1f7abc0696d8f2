"""TLS as the settings ask for it, against a real TLS listener."""

from pathlib import Path

import psycopg
import pytest

from lakebase_api.environment import load_settings
from lakebase_api.lakebase.connection import LakebaseConnection
from lakebase_api.lakebase.failures import classify
from lakebase_api.lakebase.target import Target
from tests.lakebase_stand_in import DATABASE, LakebaseStandIn


def connect(lakebase: LakebaseStandIn, **environment: str) -> psycopg.Connection:
    settings = load_settings(
        {
            "PGHOST": "localhost",
            "PGPORT": str(lakebase.proxy.port),
            "PGDATABASE": DATABASE,
            "PGUSER": lakebase.server.user,
            "PGPASSWORD": lakebase.server.password,
            **environment,
        }
    )
    return LakebaseConnection.connect(on_failure=lambda *_: None, **Target(settings).connect_arguments())


def test_a_connection_is_encrypted_by_default_whoever_signed_the_certificate(
    lakebase: LakebaseStandIn,
) -> None:
    with connect(lakebase) as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_a_known_authority_is_accepted(
    lakebase: LakebaseStandIn, mode: str, tmp_path: Path
) -> None:
    authority = lakebase.proxy.write_authority(tmp_path / "ca.pem")
    with connect(lakebase, PGSSLMODE=mode, PGSSLROOTCERT=str(authority)) as connection:
        assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_certificate_of_an_unknown_authority_is_refused(lakebase: LakebaseStandIn, mode: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed") as caught:
        connect(lakebase, PGSSLMODE=mode)
    assert "PGSSLROOTCERT" in classify(caught.value).mend


def test_a_certificate_for_another_host_is_refused_when_the_host_is_verified(
    lakebase: LakebaseStandIn, tmp_path: Path
) -> None:
    authority = str(lakebase.proxy.write_authority(tmp_path / "ca.pem"))
    elsewhere = {"PGHOST": "127.0.0.1", "PGSSLROOTCERT": authority}
    with connect(lakebase, PGSSLMODE="verify-ca", **elsewhere) as connection:
        assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        connect(lakebase, PGSSLMODE="verify-full", **elsewhere)


def test_a_server_without_tls_is_refused(lakebase: LakebaseStandIn) -> None:
    with pytest.raises(psycopg.OperationalError, match="SSL was required"):
        connect(lakebase, PGPORT=str(lakebase.server.port))
