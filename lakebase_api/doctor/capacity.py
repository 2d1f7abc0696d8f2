"""Sets the connections that the service may open against those that the database allows."""

from lakebase_api.lakebase.connection import Connection
from lakebase_api.lakebase.findings import CONNECTIONS, Check, failed, passed
from lakebase_api.settings import Settings

# Who may not see other roles' sessions sees their database and role all the same, but not what kind they are.
# The app's own, here or on another host, are those it may open.
COUNT_CONNECTIONS = """
SELECT current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true)::int, 0),
       (SELECT count(*) FROM pg_stat_activity
        WHERE datid IS NOT NULL AND usesysid IS NOT NULL
              AND NOT (usename = current_user AND application_name = current_setting('application_name')))
"""


def judge_connections(connection: Connection, settings: Settings) -> Check:
    """Whether all connections that the workers may open fit. Raises psycopg's errors."""
    [(most, reserved, used)] = connection.execute(COUNT_CONNECTIONS).fetchall()
    per_worker = settings.pool_size + settings.pool_max_overflow + settings.export_concurrency
    wanted, free = settings.workers * per_worker, most - reserved - used
    says = (
        f"{settings.workers} workers x {per_worker} = {wanted} at most; the database allows {most}, of which "
        f"{reserved} are kept for superusers and {used} are in use by others now"
    )
    if wanted <= free:
        return passed(CONNECTIONS, says)
    return failed(
        CONNECTIONS,
        says,
        mend="Lower WEB_CONCURRENCY, DB_POOL_SIZE, DB_MAX_OVERFLOW or EXPORT_CONCURRENCY, so that "
        "WEB_CONCURRENCY x (DB_POOL_SIZE + DB_MAX_OVERFLOW + EXPORT_CONCURRENCY) is at most "
        f"{max(free, 0)}, or take a larger compute",
        fault="the connections may not suffice",
    )
