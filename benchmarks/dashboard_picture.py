"""Draws the panels of the dashboard, as SVG, from what Prometheus answered: in place of Grafana."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

COLUMNS = 3
WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 28, 64
# Lines of a panel: of more those that reach highest.
MOST_LINES = 6
COLOURS = ("#1f6feb", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#6e7781")
FORMS = {"s": "{:.4g} s", "reqps": "{:.3g}/s", "ops": "{:.3g}/s", "rowsps": "{:.3g}/s", "short": "{:.4g}"}


@dataclass(frozen=True)
class Panel:
    """A panel: what it shows, in which unit, and by legend the values over time."""

    title: str
    unit: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def draw_panels(path: Path, panels: Sequence[Panel], begin: float, end: float) -> None:
    """Write the picture of what happened between two times."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH} {row * HEIGHT})">')
        parts += [*_draw(panel, begin, end), "</g>"]
    path.write_text("\n".join([*parts, "</svg>\n"]))


def _draw(panel: Panel, begin: float, end: float) -> list[str]:
    ranked = sorted(panel.lines.items(), key=lambda line: -_find_highest([line[1]]))[:MOST_LINES]
    highest = _find_highest([points for _, points in ranked]) or 1.0
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<rect x="4" y="4" width="{WIDTH - 8}" height="{HEIGHT - 8}" fill="none" stroke="#d0d7de"/>',
        f'<text x="12" y="20" font-size="12" font-weight="bold">{escape(panel.title)}</text>',
        f'<path d="M{LEFT} {TOP}H{right}M{LEFT} {bottom}H{right}" stroke="#d0d7de"/>',
        f'<text x="8" y="{TOP + 4}">{FORMS[panel.unit].format(highest)}</text>',
        f'<text x="8" y="{bottom + 3}">0</text>',
    ]
    for number, (legend, points) in enumerate(ranked):
        colour = COLOURS[number]
        places = [
            (
                LEFT + (right - LEFT) * (moment - begin) / (end - begin),
                bottom - (bottom - TOP) * max(0.0, value) / highest,
            )
            for moment, value in points
        ]
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x, y = 12 + 162 * (number % 2), bottom + 18 + 14 * (number // 2)
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">{escape(legend[:34])}</text>')
    return parts


def _find_highest(lines: Sequence[Sequence[tuple[float, float]]]) -> float:
    values = [value for points in lines for _, value in points if not math.isnan(value)]
    return max(values, default=0.0)
