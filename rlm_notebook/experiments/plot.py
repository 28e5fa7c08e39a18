"""A plot of a study as SVG: a score against what it costs, one point with its interval for each arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from ..exceptions import ConfigurationError
from .comparison import MetricTable

__all__ = ["Plot", "scatter"]

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 16, 52
#: Told apart with any kind of colour vision, on light and on dark ground; shapes tell them apart without colours.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SHAPES = ("circle", "square", "diamond")
#: Dollars a row below which a thousand rows are the unit.
SMALL = 0.01


@dataclass(frozen=True)
class Plot:
    """A picture of a study; displays in notebooks. `svg` is its text."""

    svg: str
    described: str

    def save(self, path: str | Path) -> str:
        """Write the picture to an `.svg` file; returns its path."""
        place = Path(path)
        if place.suffix.lower() != ".svg":
            raise ConfigurationError(f"save({str(path)!r}): it is written as SVG; give a name that ends in .svg")
        # On its own it has no page to take a colour from.
        place.write_text(self.svg.replace("currentColor", "#333"), encoding="utf-8")
        return str(place)

    def __repr__(self) -> str:
        return self.described

    def _repr_html_(self) -> str:
        return self.svg


def scatter(table: MetricTable, metric: str) -> Plot:
    """Each arm at its cost a row (in tokens or calls, where costs are 0 or unknown) and its score, with intervals."""
    records = table.records
    unit = next((name for name in ("cost_usd", "tokens", "calls") if any(each[name] for each in records)), "calls")
    if any(each[unit] is None for each in records):
        unit = "tokens" if any(each["tokens"] for each in records) else "calls"
    points = [
        (str(each["arm"]), float(each[unit] or 0.0), each[metric], each[f"{metric}_low"], each[f"{metric}_high"])
        for each in records
        if each[metric] is not None
    ]
    label = {"cost_usd": "dollars a row", "tokens": "tokens a row", "calls": "calls a row"}[unit]
    if unit == "cost_usd" and all(at < SMALL for _, at, *_ in points):
        points = [(arm, 1_000 * at, *rest) for arm, at, *rest in points]
        label = "dollars per 1,000 rows"
    described = f"{metric} against {label}: " + (
        "; ".join(f"{arm} {value:.3g} at {at:.3g}" for arm, at, value, _, _ in points) or "no arm has a score"
    )
    return Plot(_svg(points, metric, label, described), described)


Point = tuple[str, float, float, float | None, float | None]


def _svg(points: Sequence[Point], metric: str, label: str, described: str) -> str:
    values = [value for _, _, *found in points for value in found if value is not None]
    across = _ticks(0.0, max((at for _, at, *_ in points), default=1.0) * 1.05 or 1.0)
    up = _ticks(min(values, default=0.0), max(values, default=1.0))

    def x(value: float) -> float:
        return LEFT + (value - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(described)}" font-family="system-ui, sans-serif" font-size="12" '
        'fill="currentColor" style="max-width:100%">',
        f"<title>{escape(described)}</title>",
    ]
    for tick in up:
        parts.append(
            f'<line x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="currentColor" '
            'stroke-opacity=".15"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in across:
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{_short(tick)}</text>')
    parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="currentColor"/>')
    parts.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{bottom + 40}" text-anchor="middle">{escape(label)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text transform="rotate(-90 16 {middle:.0f})" x="16" y="{middle:.0f}" text-anchor="middle">'
        f"{escape(metric)}</text>"
    )
    for number, (arm, at, value, low, high) in enumerate(points):
        colour, shape = _COLOURS[number % len(_COLOURS)], _SHAPES[number // len(_COLOURS) % len(_SHAPES)]
        if low is not None and high is not None:
            parts.append(
                f'<path d="M{x(at):.1f} {y(low):.1f}V{y(high):.1f}M{x(at) - 4:.1f} {y(low):.1f}h8'
                f'M{x(at) - 4:.1f} {y(high):.1f}h8" stroke="{colour}" stroke-width="1.5" fill="none"/>'
            )
        parts.append(_mark(shape, x(at), y(value), colour))
        place = TOP + 8 + 18 * number
        parts.append(_mark(shape, right + 18, place, colour))
        name = arm if len(arm) <= 26 else arm[:25] + "…"
        parts.append(f'<text x="{right + 28}" y="{place + 4}">{escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def _mark(shape: str, x: float, y: float, colour: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}"{turn}/>'


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose the range."""
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 5
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = floor(low / step + 1e-9)
    return [step * each for each in range(first, max(ceil(high / step - 1e-9), first + 1) + 1)]


def _short(value: float) -> str:
    return f"{value:.10g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2g}"
