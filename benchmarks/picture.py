"""Draws latency against load, as SVG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.open_loop import LoadPoint

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 50
# Latencies shown, in milliseconds: the axis is logarithmic.
LOWEST, HIGHEST = 1.0, 10_000.0
COLOURS = ("#1f6feb", "#6e7781", "#cf222e")
HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
    'font-family="sans-serif" font-size="12">\n'
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
)


def draw_latency(path: Path, loads: Mapping[str, Sequence[LoadPoint]]) -> None:
    """Write the picture: for each service the median as a line, and the 99th percentile dashed."""
    greatest = max(point.rate for points in loads.values() for point in points)
    parts = [
        HEAD,
        _text(LEFT, 22, "One order by key: latency from the moment a request is due"),
        *_grid(greatest),
    ]
    for colour, (service, points) in zip(COLOURS, loads.items(), strict=False):
        for name, dash in (("p50", ""), ("p99", ' stroke-dasharray="5 4"')):
            places = [(_x(point.rate, greatest), _y(getattr(point, name) * 1000)) for point in points]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            x, y = places[-1]
            parts.append(_text(x + 6, y + (4 if name == "p50" else -8), f"{service} {name}", colour))
    path.write_text("\n".join([*parts, "</svg>\n"]))


def _grid(greatest: float) -> list[str]:
    parts = [_text(LEFT, HEIGHT - 12, "requests offered per second"), _text(8, TOP - 8, "ms")]
    for power in range(round(math.log10(LOWEST)), round(math.log10(HIGHEST)) + 1):
        y = _y(10**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>')
        parts.append(_text(20, y + 4, f"{10**power:,}"))
    step = 10 ** math.floor(math.log10(greatest))
    for rate in range(0, int(greatest) + 1, step if greatest / step > 3 else step // 4):
        parts.append(_text(_x(rate, greatest) - 10, HEIGHT - BOTTOM + 18, f"{rate:,}"))
    return parts


def _x(rate: float, greatest: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * rate / greatest


def _y(milliseconds: float) -> float:
    shown = min(max(milliseconds, LOWEST), HIGHEST)
    part = math.log10(shown / LOWEST) / math.log10(HIGHEST / LOWEST)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part


def _text(x: float, y: float, words: str, colour: str = "#24292f") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}">{words}</text>'
