"""Metrics, as Prometheus' own parser reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: dict[Series, float] = {}
        for family in self.families.values():
            for sample in family.samples:
                series = (sample.name, frozenset(sample.labels.items()))
                assert series not in self.samples, f"{series} is there twice"
                self.samples[series] = sample.value

    def find(self, name: str, **labels: Any) -> dict[Series, float]:
        """The samples of a name that have these labels, perhaps among others."""
        wanted = {(label, str(value)) for label, value in labels.items()}
        return {
            series: value
            for series, value in self.samples.items()
            if series[0] == name and wanted <= series[1]
        }

    def sum(self, name: str, **labels: Any) -> float:
        """What those samples come to."""
        return sum(self.find(name, **labels).values())

    def value(self, name: str, **labels: Any) -> float:
        """The one sample that has these labels."""
        [value] = self.find(name, **labels).values()
        return value

    def counters(self) -> Iterator[tuple[Series, float]]:
        """All that never falls."""
        for family in self.families.values():
            if family.type != "gauge":
                for sample in family.samples:
                    series = (sample.name, frozenset(sample.labels.items()))
                    yield series, self.samples[series]

    def buckets(self, name: str, **labels: Any) -> Mapping[float, float]:
        """The buckets of a histogram by their bounds, in rising order."""
        found = self.find(f"{name}_bucket", **labels)
        by_bound = {float(dict(series[1])["le"]): value for series, value in found.items()}
        return dict(sorted(by_bound.items()))
