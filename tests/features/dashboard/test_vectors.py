"""Vectors for clients in other languages: publications of widgets, and what a viewer shows after each."""

from pathlib import Path

import msgspec

from clarion.errors import Invalid
from clarion.features.dashboard import Bar, Gauge, Line, Note, Series, Stat, Status, Widget
from clarion.features.dashboard.downsampling import fewer
from clarion.features.dashboard.widgets import Bounds, State, apply, shown
from clarion.ids import Ids
from clarion.topics.growth import grown

VECTORS = Path(__file__).parents[2] / "data/dashboard.json"
NOW = 1_790_000_000_000
WIDGETS: list[Widget] = [
    Stat(id="stat", trend_s=10),
    Gauge(id="gauge"),
    Series(id="series", lines=[Line("a"), Line("b")], window_s=10),
    Bar(id="bar"),
    Note(id="text"),
    Status(id="status"),
]


def made() -> bytes:
    """Of each widget what comes, and what is shown then; and lines with fewer points."""
    ids = Ids.seeded(11)
    steps = []
    for widget in WIDGETS:
        state: State | None = None
        now = NOW
        for _ in range(40):
            now += int(ids.uniform(1, 900))
            event, data = _given(widget, ids, now)
            bounds = Bounds(5, {"raw": 5, "10s": 5, "1m": 5})
            try:
                step = apply(widget, state, event, data, now_ms=now, bounds=bounds)
            except Invalid:
                continue
            if step.is_duplicate:
                continue
            told = shown(step.state) if step.difference is None else step.difference
            name = "set" if step.difference is None else "append"
            before, state = state, step.state
            if step.difference is not None and before is not None:
                assert grown(shown(before), step.difference) == shown(state)
            steps.append({"key": widget.id, "event": name, "data": told, "shown": shown(state)})
    t = [n * n for n in range(60)]
    v = [
        [None if n % 17 == 3 else round(ids.uniform(-9, 9), 2) for n in t],
        [round(ids.uniform(0, 1), 2) for _ in t],
    ]
    lines = []
    for width in (3, 7, 20, 59, 60):
        times, columns = fewer(t, v, width)
        lines.append({"width": width, "t": times, "v": columns})
    vectors = {"publications": steps, "points": {"t": t, "v": v}, "fewer": lines}
    return msgspec.json.format(msgspec.json.encode(vectors), indent=0).replace(
        b'{"key"', b'\n{"key"'
    )


def _given(widget: Widget, ids: Ids, now: int) -> tuple[str, object]:
    def number() -> float:
        return round(ids.uniform(-5, 5), 2)

    event = ("set", "append", "increment", "pulled", "stale")[int(ids.uniform(0, 5))]
    if event == "stale":
        return event, {"since": None, "code": "unavailable"}
    match widget:
        case Series():
            count = int(ids.uniform(1, 4))
            return event, {"t": [now + n for n in range(count)], "v": [[number() for _ in range(count)], [None] * count]}  # fmt: skip
        case Bar():
            return event, {name: number() for name in "xyz" if ids.uniform(0, 1) < 0.5}
        case Status():
            states = ("ok", "warn", "error")
            return event, {name: states[int(ids.uniform(0, 3))] for name in ("db", "web")}
        case Note():
            return event, "ab"[: int(ids.uniform(0, 3))]
        case _:
            return event, number()


def test_the_vectors_are_what_widgets_do() -> None:
    """Whoever changes what is told sees it here, and in every client that these are given to. Written anew by removing the file."""
    if not VECTORS.exists():
        VECTORS.write_bytes(made())
    assert VECTORS.read_bytes() == made()
