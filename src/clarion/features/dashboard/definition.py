"""What a dashboard is: its widgets, what each shows, and where it stands. Structs that an HTTP body and a Python call share; checked here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clarion.errors import Fault, Invalid
from clarion.patterns import worded
from clarion.topics.triggers import without

KIND: Final = "dashboard"
DASHBOARD_ID: Final = worded(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)",
    "a name: letters, digits, `.`, `_` and `-`, at most 100, the first a letter or digit",
)
WIDGET_ID: Final = worded(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)",
    "a name: letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit",
)
DEFINITION: Final = "definition"
"""The key of the topic's map that has the definition; every other key is a widget's."""
WINDOW_S: Final = 86_400.0
LINES: Final = 16
COLUMNS: Final = 32
ALERTS: Final = 8

Text = Annotated[str, Meta(max_length=200)]
RollUp = Literal["avg", "min", "max", "sum", "last"]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a widget stands in the grid, and how large it is there (cells)."""

    x: Annotated[int, Meta(ge=0, le=100)]
    y: Annotated[int, Meta(ge=0, le=10_000)]
    w: Annotated[int, Meta(ge=1, le=100)]
    h: Annotated[int, Meta(ge=1, le=100)]


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where what a widget shows is fetched, while somebody watches: a function of the application, or an address that answers with JSON.

    Args:
        every_s: From one answer to the next question (s).
        function: The name of a Python function (`app.dashboards.source`).
        params: What it is asked with.
        url: Is asked with GET. Viewers see nothing of it.
        pointer: Which part of its answer is meant (RFC 6901); '': the whole.
    """

    every_s: Annotated[float, Meta(ge=0.2, le=WINDOW_S)] = 10.0
    function: Annotated[str, Meta(pattern=WIDGET_ID)] | None = None
    params: dict[str, Any] = {}
    url: Annotated[str, Meta(min_length=1, max_length=2_000)] | None = None
    pointer: Annotated[
        str,
        Meta(max_length=200, pattern=worded(r"^(/|$)", "a JSON pointer, which begins with `/`")),
    ] = ""


class Alert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom to tell what when a number passes a threshold, once for each time that it does.

    Args:
        id: Names it in its widget.
        above: It is broken while the number is above this; or
        below: while it is below.
        clear: Once broken, it is over when the number is back at this; absent: at the threshold itself.
        for_s: For how long it must be broken before somebody is told (s).
        of: Whose number, of a chart a line's name (absent: the first line), of bars a bar's.
        trigger: Whom to tell what: a notification, as `POST /v1/notifications` takes it, or a workflow to run, as `POST /v1/triggers` does; `data`, or `payload`, gets `dashboard`. Nothing for viewers.
    """

    id: Annotated[str, Meta(pattern=WIDGET_ID)]
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    for_s: Annotated[float, Meta(ge=0, le=WINDOW_S)] = 0.0
    of: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    trigger: dict[str, Any] = {}

    @property
    def threshold(self) -> float:
        """Beyond it the alert is broken."""
        return (self.below if self.above is None else self.above) or 0.0

    @property
    def over(self) -> float:
        """Back there it is over."""
        return self.threshold if self.clear is None else self.clear


class _Widget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    id: Annotated[str, Meta(pattern=WIDGET_ID)]
    title: Text = ""
    place: Place | None = None
    source: Source | UnsetType = UNSET
    stale_after_s: Annotated[float, Meta(gt=0, le=366 * WINDOW_S)] | UnsetType = UNSET
    """Where nothing is given for so long (s), a page shows that it is old."""


class _Number(_Widget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    unit: Text = ""
    decimals: Annotated[int, Meta(ge=0, le=10)] | None = None
    alerts: Annotated[list[Alert], Meta(max_length=ALERTS)] | UnsetType = UNSET


class Stat(_Number, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="stat"):
    """One number, and how it came about.

    Args:
        trend_s: How far back its trend goes (s).
    """

    trend_s: Annotated[float, Meta(ge=10, le=WINDOW_S)] = 3_600.0


class Gauge(_Number, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gauge"):
    """One number between two others."""

    min: float = 0.0
    max: float = 100.0


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a chart."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    color: (
        Annotated[str, Meta(pattern=worded(r"^#[0-9a-fA-F]{6}$(?!\n)", "a colour such as #1f77b4"))]
        | None
    ) = None


class Series(_Number, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="series"):
    """Numbers over time.

    Args:
        lines: One for each column of the points.
        window_s: How much time it shows (s).
        steps: In how many steps at most: as many points of a line as its place on the screen has room for.
        roll_up: What becomes of the points of one step.
    """

    lines: Annotated[list[Line], Meta(min_length=1, max_length=LINES)]
    window_s: Annotated[float, Meta(ge=10, le=WINDOW_S)] = 3_600.0
    steps: Annotated[int, Meta(ge=10, le=1_000)] = 300
    roll_up: RollUp = "avg"


class Bar(_Number, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="bar"):
    """A number for each of some names."""


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """A column of a table: the member of its rows, and what stands above it."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    title: Text = ""


class Table(_Widget, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="table"):
    """Rows by key.

    Args:
        columns: What of the rows is shown, and in which order.
        sort: The column by which they are sorted, `-` before it: falling. None: by their keys.
    """

    columns: Annotated[list[Column], Meta(min_length=1, max_length=COLUMNS)]
    sort: Annotated[str, Meta(max_length=65)] | None = None


class Note(_Widget, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text"):
    """A text; pages show it as it is, never as HTML."""


class Status(_Widget, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="status"):
    """The state of each of some things: `ok`, `warn`, `error`, `unknown`."""


def alerts_of(widget: "Widget") -> Sequence[Alert]:
    """The alerts of a widget; of one that has no numbers none."""
    given = widget.alerts if isinstance(widget, _Number) else UNSET
    return [] if given is UNSET else given


def forgetting(definition: "Definition", user: str) -> "Definition":
    """A dashboard whose alerts do not tell somebody; alerts that tell nobody else are not there."""
    widgets = [_forgetting(each, user) for each in definition.widgets]
    return msgspec.structs.replace(definition, widgets=widgets)


def _forgetting(widget: "Widget", user: str) -> "Widget":
    if not alerts_of(widget):
        return widget
    said = [(alert, without(alert.trigger, user)) for alert in alerts_of(widget)]
    alerts = [
        msgspec.structs.replace(alert, trigger=dict(asks))
        for alert, asks in said
        if asks is not None
    ]
    return msgspec.structs.replace(widget, alerts=alerts)


Widget = Stat | Gauge | Series | Bar | Table | Note | Status


class Definition(Struct, frozen=True, forbid_unknown_fields=True):
    """A dashboard.

    Args:
        title: For people.
        widgets: What it shows; at most `limits.dashboard_widgets`.
        columns: Cells in a row of its grid.
    """

    title: Text = ""
    widgets: list[Widget] = []
    columns: Annotated[int, Meta(ge=1, le=100)] = 12

    def find(self, id: str) -> Widget | None:
        """A widget."""
        return next((widget for widget in self.widgets if widget.id == id), None)


def as_viewed(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition (as JSON) as viewers see it: where something is fetched, and who is told of what, is nothing of theirs."""
    return {**definition, "widgets": [_as_viewed(widget) for widget in definition["widgets"]]}


def _as_viewed(widget: Mapping[str, Any]) -> Mapping[str, Any]:
    if "source" in widget:
        every_s = widget["source"].get("every_s", Source().every_s)
        widget = {**widget, "source": {"every_s": every_s}}
    if "alerts" in widget:
        alerts = [
            {name: value for name, value in alert.items() if name != "trigger"}
            for alert in widget["alerts"]
        ]
        widget = {**widget, "alerts": alerts}
    return widget


def viewed(definition: Definition) -> Definition:
    """A definition as viewers see it."""
    return msgspec.convert(as_viewed(msgspec.to_builtins(definition)), Definition)


def check(given: Definition, widgets: int) -> None:
    """Refuse what its form allows, and what yet means nothing.

    Raises:
        Invalid: Too many widgets, two of one id, a gauge without room, a sort by a column that is not there.
    """
    faults = list(_faults(given, widgets))
    if faults:
        raise Invalid("this is no dashboard", faults=faults[:20])


def _faults(given: Definition, widgets: int) -> Iterator[Fault]:
    if len(given.widgets) > widgets:
        yield Fault("/widgets", f"at most {widgets} (limits.dashboard_widgets)")
        return
    seen: dict[str, None] = {}
    for i, widget in enumerate(given.widgets):
        at = f"/widgets/{i}"
        if widget.id in seen or widget.id == DEFINITION:
            yield Fault(f"{at}/id", "is taken")
        seen[widget.id] = None
        if widget.place is not None and widget.place.x + widget.place.w > given.columns:
            yield Fault(f"{at}/place", f"the grid has {given.columns} columns")
        if widget.source is not UNSET:
            if (widget.source.function is None) == (widget.source.url is None):
                yield Fault(f"{at}/source", "expected either a function or a url")
            elif widget.source.params and widget.source.function is None:
                yield Fault(f"{at}/source/params", "only a function takes them")
        for k, alert in enumerate(alerts_of(widget)):
            yield from _wrong(widget, alert, f"{at}/alerts/{k}")
        ids = [alert.id for alert in alerts_of(widget)]
        if len({*ids}) < len(ids):
            yield Fault(f"{at}/alerts", "two have the same id")
        match widget:
            case Gauge() if widget.min >= widget.max:
                yield Fault(f"{at}/max", "must be above min")
            case Table():
                ids = [column.id for column in widget.columns]
                if len({*ids}) < len(ids):
                    yield Fault(f"{at}/columns", "two have the same id")
                if widget.sort is not None and widget.sort.removeprefix("-") not in ids:
                    yield Fault(f"{at}/sort", "is none of the columns")
            case _:
                pass


def _wrong(widget: Widget, alert: Alert, at: str) -> Iterator[Fault]:
    if (alert.above is None) == (alert.below is None):
        yield Fault(at, "expected either above or below")
        return
    numbers = [number for number in (alert.above, alert.below, alert.clear) if number is not None]
    if not all(map(math.isfinite, numbers)):
        yield Fault(at, "not finite")
    if (alert.over - alert.threshold) * (1 if alert.above is None else -1) < 0:
        side = "below" if alert.above is None else "above"
        yield Fault(f"{at}/clear", f"must not be {side} the threshold")
    if isinstance(widget, Series):
        if alert.of is not None and all(line.name != alert.of for line in widget.lines):
            yield Fault(f"{at}/of", "is none of the lines")
    elif isinstance(widget, Bar) == (alert.of is None):
        said = "expected a bar's name" if isinstance(widget, Bar) else "there is one number alone"
        yield Fault(f"{at}/of", said)
