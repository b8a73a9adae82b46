"""Draw a soak's samples: `python -m tests.soak --draw` writes docs/images/soak-{light,dark}.svg.

A panel a gauge, from zero, so that a flat line looks flat; the grey part is what the verdict leaves out.
"""

from html import escape
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from tests.soak.run import Outcome
from tests.soak.verdict import TENTHS, Sample, first_judged


class Theme(Struct, frozen=True):
    """Colours."""

    text: str
    muted: str
    line: str
    second: str
    rule: str
    shade: str


THEMES = {
    "light": Theme("#1f2328", "#59636e", "#0969da", "#a8b3bf", "#d1d9e0", "#f6f8fa"),
    "dark": Theme("#f0f6fc", "#9198a1", "#4493f8", "#5b6570", "#3d444d", "#151b23"),
}


class Panel(Struct, frozen=True):
    """One graph: its lines, the first of which is ours."""

    title: str
    unit: str
    lines: tuple[tuple[str, float], ...]
    """Names of values, with what they are multiplied by."""


PANELS = (
    Panel("Memory from the system: resident, private", "MB", (("rss", 1e-6), ("uss", 1e-6))),
    Panel("Memory in use, of malloc's", "MB", (("heap", 1e-6),)),
    Panel("Blocks in use, of Python's own", "thousands", (("blocks", 1e-3),)),
    Panel("Processor time", "% of a core", (("cpu", 100.0),)),
    Panel("Events delivered", "thousands a second", (("heard_per_s", 1e-3),)),
    Panel("Descriptors, sessions", "", (("files", 1.0), ("sessions", 1.0))),
    Panel("Rooms", "", (("rooms", 1.0),)),
    Panel("Tasks", "", (("tasks", 1.0),)),
    Panel("Timers in the wheel", "", (("timers", 1.0),)),
    Panel("Bytes that wait to be sent", "MB", (("egress", 1e-6),)),
    Panel("Loop: late at most; an idle server beside it", "ms", (("lag_s", 1e3), ("idle_lag_s", 1e3))),
    Panel("Garbage collection: longest pause", "ms", (("gc_pause_s", 1e3),)),
)  # fmt: skip
WIDTH, COLUMNS, GAP = 960, 2, 40
PANEL, HEIGHT, HEAD, FOOT, TOP = (WIDTH - GAP) // COLUMNS, 84, 26, 22, 34
LABEL = 44  # left of a graph, for its scale
FONT = 'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12"'


def draw(outcome: Outcome, theme: Theme = THEMES["light"]) -> str:
    """The picture."""
    samples = _with_rates(outcome.samples)
    rows = -(-len(PANELS) // COLUMNS)
    total = TOP + rows * (HEAD + HEIGHT + FOOT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}" viewBox="0 0 {WIDTH} {total}" {FONT}>',
        f"<title>{escape(_caption(outcome))}</title>",
        _text(0, 14, _caption(outcome), theme.muted),
    ]
    for i, panel in enumerate(PANELS):
        x, y = (i % COLUMNS) * (PANEL + GAP), TOP + (i // COLUMNS) * (HEAD + HEIGHT + FOOT)
        parts += _panel(panel, samples, theme, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, samples: list[Sample], theme: Theme, x: int, y: int) -> list[str]:
    begin, end = samples[0].at_s, samples[-1].at_s
    peak = max(each.values[name] * by for each in samples for name, by in panel.lines)
    most = _round(peak)
    left, right, top, bottom = x + LABEL, x + PANEL, y + HEAD, y + HEAD + HEIGHT
    shade = (right - left) * first_judged(panel.lines[0][0]) / TENTHS

    def across(at: float) -> float:
        return left + (at - begin) / (end - begin) * (right - left)

    def up(value: float) -> float:
        return bottom - value / most * HEIGHT

    unit = f" ({panel.unit})" if panel.unit else ""
    parts = [
        f'<rect x="{left}" y="{top}" width="{shade:.1f}" height="{HEIGHT}" fill="{theme.shade}"/>',
        _text(x, y + 14, panel.title + unit, theme.text, weight="600"),
        f'<path d="M{left} {top + 0.5}H{right}M{left} {bottom + 0.5}H{right}" stroke="{theme.rule}"/>',
        _text(left - 6, top + 9, f"{most:,.0f}", theme.muted, anchor="end"),
        _text(left - 6, bottom + 4, "0", theme.muted, anchor="end"),
        _text(right, bottom + 16, f"{end / 60:.0f} min", theme.muted, anchor="end"),
    ]
    for number, (name, by) in reversed([*enumerate(panel.lines)]):
        ink = theme.second if number else theme.line
        points = " ".join(
            f"{across(each.at_s):.1f} {up(each.values[name] * by):.1f}" for each in samples
        )
        parts.append(_line(points, ink))
    return parts


def _line(points: str, ink: str) -> str:
    return f'<path d="M{points}" fill="none" stroke="{ink}" stroke-width="1.2"/>'


def _with_rates(samples: list[Sample]) -> list[Sample]:
    """Samples with what was used and done a second since the one before; the first has none and goes."""
    found = []
    for before, now in pairwise(samples):
        passed, was, values = now.at_s - before.at_s, before.values, now.values
        rates = {
            "cpu": (values["cpu_s"] - was["cpu_s"]) / passed,
            "heard_per_s": (values["heard"] - was["heard"]) / passed,
        }
        found.append(Sample(now.at_s, values | rates))
    return found


def _round(peak: float) -> float:
    """The next round number above, for a scale."""
    for power in range(12):
        for first in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8):
            if peak <= first * 10**power:
                return float(first * 10**power)
    return peak


def _caption(outcome: Outcome) -> str:
    plan = outcome.plan
    return (
        f"{plan.seconds / 60:.0f} minutes, {plan.sockets:,} sockets, {plan.per_s:.0f} actions a second, "
        f"{plan.replaced_per_min:.0%} of the sockets replaced each minute. What is shaded is not judged."
    )


def _text(
    x: float, y: float, text: str, fill: str, *, anchor: str = "start", weight: str = "400"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def write(outcome: Outcome, folder: Path) -> None:
    """Write a picture for light pages and one for dark pages."""
    for name, theme in THEMES.items():
        (folder / f"soak-{name}.svg").write_text(draw(outcome, theme))
