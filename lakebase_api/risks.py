"""Says which settings may be meant, but break a promise."""

from collections.abc import Iterator

from lakebase_api.settings import Settings


def find_risks(settings: Settings) -> Iterator[str]:
    """What the log should warn of at start."""
    busy = (
        settings.pool_size
        + settings.pool_max_overflow
        + settings.pool_max_waiting
        + settings.export_concurrency
    )
    if settings.threads <= busy:
        yield (
            f"WEB_THREADS={settings.threads} does not exceed DB_POOL_SIZE + DB_MAX_OVERFLOW + "
            f"DB_POOL_MAX_WAITING + EXPORT_CONCURRENCY={busy}: probes may have to wait behind requests"
        )
