"""The results as a picture: docs/images/benchmarks-{light,dark}.svg.

A panel a scenario; in it a bar a server, as long as the server is fast beside Clarion: where less is better the figures are
turned round, so that longer is always better. What goes beyond the panel is cut and says so.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.peers import HERE, JOINED, NULL, OURS
from benchmarks.results import Results, short
from benchmarks.scenarios import METRICS

IMAGES = HERE.parent / "docs/images"
PANELS = {
    "fanout-10000-64": "One event of 64 B to 10,000 sockets",
    "fanout-10000-16384": "One event of 16 KB to 10,000 sockets",
    "burst": "A burst of 100 events to 1,000 sockets",
    "ack": "Events with an ack, 100 sockets",
    "rooms-p99": "1,000 events/s into rooms of ten, 10,000 connected: p99",
    "storm": "Connects with a JWT",
    "memory": "Memory of an idle socket, 10,000 connected",
    "ping-5000": "Processor time of a heartbeat, 5,000 idle sockets",
}
NAMES = {
    OURS: "Clarion",
    "node": "Socket.IO, Node (ws)",
    "uws": "Socket.IO, uWebSockets",
    "bun": "Socket.IO, Bun",
    "python-socketio": "python-socketio",
    NULL: "C loop over send(2)",
}


@dataclass(frozen=True)
class Theme:
    """Colours."""

    text: str
    muted: str
    ours: str
    theirs: str
    limit: str
    rule: str


THEMES = {
    "light": Theme("#1f2328", "#59636e", "#0969da", "#a8b3bf", "#dfe4ea", "#d1d9e0"),
    "dark": Theme("#f0f6fc", "#9198a1", "#4493f8", "#5b6570", "#343c46", "#3d444d"),
}
WIDTH, COLUMNS, GAP = 960, 2, 40
PANEL = (WIDTH - GAP) // COLUMNS
LABEL, VALUE = 158, 78  # left and right of the bars
BARS = PANEL - LABEL - VALUE
ROW, BAR, HEAD, FOOT, TOP = 20, 12, 30, 22, 34
FONT = 'font-family="-apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="12"'
LONGEST = 2.0  # × Clarion; a longer bar is cut


def draw(results: Results, theme: Theme) -> str:
    """The picture."""
    panels = [name for name in PANELS if results.median(name, OURS) is not None]
    peers = [name for name in NAMES if any(results.median(p, name) is not None for p in panels)]
    height = HEAD + ROW * len(peers) + FOOT
    rows = -(-len(panels) // COLUMNS)
    total = TOP + rows * height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}" viewBox="0 0 {WIDTH} {total}" {FONT}>',
        f"<title>{escape(_caption(results))}</title>",
        _text(0, 14, _caption(results), theme.muted),
    ]
    for i, name in enumerate(panels):
        x, y = (i % COLUMNS) * (PANEL + GAP), TOP + (i // COLUMNS) * height
        parts += _panel(results, name, peers, theme, x, y)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    results: Results, metric: str, peers: list[str], theme: Theme, x: int, y: int
) -> list[str]:
    # What joins a burst's events is compared with what joins them, too.
    shown = {peer: JOINED if (metric, peer) == ("burst", NULL) else peer for peer in peers}
    speeds = {peer: _speed(results, metric, shown[peer]) for peer in peers}
    # The C loop does not decide the scale: it may be far away.
    servers = [speed for peer, speed in speeds.items() if speed and peer != NULL]
    scale = BARS / min(max(servers), LONGEST)
    parts = [
        _text(x, y + 14, f"{PANELS[metric]} ({METRICS[metric].unit})", theme.text, weight="600"),
        f'<path d="M{x} {y + 21.5}h{PANEL}" stroke="{theme.rule}"/>',
    ]
    for row, peer in enumerate(peers):
        base = y + HEAD + row * ROW + 10
        mine = peer == OURS
        ink = theme.text if mine else theme.muted
        parts.append(_text(x + LABEL - 8, base, NAMES[peer], ink, anchor="end"))
        speed, figure = speeds[peer], results.median(metric, shown[peer])
        if speed is None or figure is None:
            parts.append(_text(x + LABEL, base, "not measured", theme.muted))
            continue
        fill = theme.ours if mine else theme.limit if peer == NULL else theme.theirs
        length = min(speed * scale, BARS)
        bar = f'x="{x + LABEL}" y="{base - 10}" width="{max(length, 1):.1f}" height="{BAR}"'
        parts.append(f'<rect {bar} fill="{fill}"/>')
        if speed * scale > BARS + 1:
            parts.append(_text(x + LABEL + BARS - 14, base, "»", theme.muted))
        parts.append(_text(x + LABEL + length + 6, base, short(figure), ink))
    return parts


def _speed(results: Results, metric: str, peer: str) -> float | None:
    """How many times as fast as Clarion."""
    ratio = results.ratio(metric, peer)
    if ratio is None or ratio == 0:
        return None
    return ratio if METRICS[metric].less_is_better else 1 / ratio


def _caption(results: Results) -> str:
    rounds, date = results.about.get("rounds", "?"), results.about.get("date", "")
    return (
        f"Longer is better; bars begin at zero, Clarion sets the scale. Medians of up to {rounds} rounds in turn on one "
        f"machine, server and load on a core each, {date}."
    )


def _text(
    x: float, y: float, text: str, fill: str, *, anchor: str = "start", weight: str = "400"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def write(results: Results, folder: Path = IMAGES) -> None:
    """Write a picture for light pages and one for dark pages."""
    for name, theme in THEMES.items():
        (folder / f"benchmarks-{name}.svg").write_text(draw(results, theme))
