"""What is compared: measurements of one case by several services, and bounds on the ratios between them."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Measurement:
    """One service in one round of one case. Times are in seconds, memory in megabytes; NaN is not measured.

    ``cpu`` and ``database_cpu`` are per request. ``share`` is the part of the requests that the busiest
    worker answered.
    """

    rate: float = math.nan
    p50: float = math.nan
    p99: float = math.nan
    cpu: float = math.nan
    database_cpu: float = math.nan
    memory: float = math.nan
    share: float = math.nan
    failures: int = 0


@dataclass(frozen=True)
class Quantity:
    """Something a bound is about."""

    name: str
    of: Callable[[Measurement], float]


CPU = Quantity("CPU", lambda measured: measured.cpu)
BOTH_CPU = Quantity("app + database CPU", lambda measured: measured.cpu + measured.database_cpu)
RATE = Quantity("requests/s", lambda measured: measured.rate)
P99 = Quantity("p99", lambda measured: measured.p99)
TIME = Quantity("time", lambda measured: measured.p50)
MEMORY = Quantity("memory", lambda measured: measured.memory)
SHARE = Quantity("busiest worker's share", lambda measured: measured.share)


@dataclass(frozen=True)
class Bound:
    """What a service should reach: a ratio to another one, or a value of its own when ``to`` is ``None``."""

    quantity: Quantity
    to: str | None
    at_most: float = math.inf
    at_least: float = -math.inf

    def is_met(self, value: float) -> bool:
        """Whether that is within the bound; what could not be measured is not."""
        return self.at_least <= value <= self.at_most


# What a case has measured: by service, a measurement for each round.
Rounds = Mapping[str, Sequence[Measurement]]


def compare(rounds: Rounds, service: str, bound: Bound) -> float:
    """The median over the rounds of the ratio in each: what else the machine does weighs on both sides."""
    own = [bound.quantity.of(measured) for measured in rounds[service]]
    if bound.to is None:
        return statistics.median(own)
    other = [bound.quantity.of(measured) for measured in rounds[bound.to]]
    return statistics.median(mine / theirs for mine, theirs in zip(own, other, strict=True))


def summarize(measurements: Sequence[Measurement]) -> Measurement:
    """The median of each figure, and the sum of the failures."""
    figures = {
        field.name: statistics.median(getattr(measured, field.name) for measured in measurements)
        for field in fields(Measurement)
        if field.name != "failures"
    }
    return Measurement(**figures, failures=sum(measured.failures for measured in measurements))
