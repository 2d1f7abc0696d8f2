"""What metrics tell of the state of a worker, measured when they are asked for."""

from collections.abc import Callable, Mapping

from lakebase_api import __version__
from lakebase_api.lakebase.service import Lakebase
from lakebase_api.telemetry import families
from lakebase_api.telemetry.families import Family, Labels
from lakebase_api.telemetry.metrics import Metrics


class Gauges:
    """What is measured only when somebody asks. Register all before it is shared between threads."""

    def __init__(self) -> None:
        self._sources: list[tuple[Family, Callable[[], Mapping[Labels, float]]]] = []

    def register(self, family: Family, read: Callable[[], Mapping[Labels, float]]) -> None:
        """Have ``read`` give the values by labels. It may not block, and sends no SQL."""
        self._sources.append((family, read))

    def read(self) -> list[list[str | int | float]]:
        """The name, the labels and the value of each, as JSON can have them."""
        return [
            [family.name, *labels, value]
            for family, read in self._sources
            for labels, value in read().items()
        ]


def register_gauges(gauges: Gauges, lakebase: Lakebase, metrics: Metrics) -> None:
    """Have the state of a worker measured when its metrics are asked for."""
    pool, dedicated = lakebase.pool, lakebase.dedicated

    def count_connections() -> Mapping[Labels, float]:
        counts = pool.count()
        return {("idle",): counts.idle, ("used",): counts.used}

    def find_left() -> Mapping[Labels, float]:
        times = lakebase.tell_token()
        return {(): times.left} if times else {}

    def find_age() -> Mapping[Labels, float]:
        times = lakebase.tell_token()
        return {(): times.age} if times else {}

    gauges.register(families.CONNECTIONS, count_connections)
    gauges.register(families.CONNECTIONS_MOST, lambda: {(): pool.count().most})
    gauges.register(families.CONNECTIONS_PENDING, lambda: {(): pool.count().pending})
    gauges.register(families.TOKEN_EXPIRES, find_left)
    gauges.register(families.TOKEN_AGE, find_age)
    gauges.register(families.ACTIVE_REQUESTS, lambda: {(): metrics.active})
    gauges.register(families.EXPORTS_RUNNING, lambda: {(): dedicated.under_way})
    gauges.register(families.BUILD, lambda: {(__version__,): 1.0})
