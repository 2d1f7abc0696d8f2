"""Says which settings may be meant, but break a promise."""

from collections.abc import Iterator

from lakebase_api.settings import EXPORTS_PER_CONNECTION, Settings, TargetKind


def find_risks(settings: Settings) -> Iterator[str]:
    """What the log should warn of at start."""
    if settings.threads <= settings.most_others:
        yield (
            f"WEB_THREADS={settings.threads} does not exceed a third more than DB_POOL_SIZE + "
            f"DB_MAX_OVERFLOW + DB_POOL_MAX_WAITING + {EXPORTS_PER_CONNECTION} x EXPORT_CONCURRENCY, "
            f"{settings.most_others}: probes may have to wait behind requests"
        )
    for name in _find_unused(settings):
        yield f"{name} is not used, since {settings.target} comes first"


def _find_unused(settings: Settings) -> Iterator[str]:
    """Settings of a database that is not the one served."""
    if settings.target is TargetKind.AUTOSCALING and settings.database_instance:
        yield "DATABRICKS_DATABASE_INSTANCE"
    if settings.target is not TargetKind.STATIC and settings.pg_password:
        yield "PGPASSWORD"
