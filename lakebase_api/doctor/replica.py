"""Whether the replica of the settings can be read from: one check."""

from collections.abc import Iterator

import psycopg

from lakebase_api.lakebase.connection import LakebaseConnection
from lakebase_api.lakebase.credentials import CredentialError
from lakebase_api.lakebase.failures import classify, first_line
from lakebase_api.lakebase.findings import Check, failed, passed, skipped
from lakebase_api.lakebase.service import build_replica_target, build_target
from lakebase_api.settings import Settings

REPLICA = "replica"
CORRECT = "Correct LAKEBASE_READ_ENDPOINT, or PGHOST_READ and PGPORT_READ"
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
FIND_CLUSTER = "SELECT system_identifier FROM pg_control_system()"
FIND_PRIMARY = "SELECT pg_current_wal_flush_lsn()::text"
FIND_REPLICA = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(%s::pg_lsn, pg_last_wal_replay_lsn()) END,
    pg_is_in_recovery()
"""


def judge_replica(settings: Settings, connection: LakebaseConnection | None) -> Iterator[Check]:
    """The check, if the settings name a replica of what the connection leads to. Raises psycopg's errors."""
    if not settings.has_replica:
        return
    if connection is None:
        yield skipped(REPLICA, "no connection")
        return
    its_settings = settings.for_replica()
    target, _ = build_replica_target(its_settings, settings, build_target(settings)[1])
    try:
        arguments = target.connect_arguments()
        with LakebaseConnection.connect(on_failure=lambda *_: None, **arguments) as replica:
            yield _compare(connection, replica)
    except (psycopg.OperationalError, CredentialError) as error:
        mend = f"{CORRECT}, or: {classify(error).mend}"
        yield failed(REPLICA, f"{first_line(error)}; the primary answers all meanwhile", mend=mend)


def _compare(primary: LakebaseConnection, replica: LakebaseConnection) -> Check:
    [[cluster]] = primary.execute(FIND_CLUSTER).fetchall()
    [[its_cluster]] = replica.execute(FIND_CLUSTER).fetchall()
    if cluster != its_cluster:
        return failed(REPLICA, "it is of another database server", mend=CORRECT)
    [[end]] = primary.execute(FIND_PRIMARY).fetchall()
    [[behind, is_replica]] = replica.execute(FIND_REPLICA, (end,)).fetchall()
    if not is_replica:
        return failed(REPLICA, "it is the primary, or was made one", mend=CORRECT)
    if behind is None:
        says = "it does not say how far it is, so that everything is read from the primary"
        return failed(REPLICA, says, mend="Leave it out of the settings")
    return passed(REPLICA, f"{replica.info.host} follows, {max(0, int(behind)):,} bytes of log behind")
