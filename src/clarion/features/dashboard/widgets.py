"""What a publication does to a widget: from what it has to what it has then, and the difference that viewers are told. Pure.

What a widget has is a JSON object. Its member `_` is kept from viewers: points beyond those that are shown, and what makes a repeated
publication known as such. Everything else is what they see, and the differences are about that alone:
`grown(shown(before), step.difference) == shown(step.state)` for every step that has one.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import UNSET, Struct

from clarion.errors import Fault, Invalid, NotFound
from clarion.features.dashboard import values
from clarion.features.dashboard.definition import (
    Bar,
    Gauge,
    Note,
    Series,
    Stat,
    Status,
    Table,
    Widget,
    alerts_of,
)
from clarion.features.dashboard.rolls import (
    Columns,
    Roll,
    Rule,
    cut,
    empty,
    extended,
    step_of,
)
from clarion.topics.growth import growth
from clarion.topics.patches import merge_patch

HIDDEN: Final = "_"
STALE: Final = "stale"
"""The member that says since when (ms) its source gives nothing, and why (`{since, code}`); also the event that puts it there."""
ALERTS: Final = "alerts"
"""The member that says which alerts are broken (`{id: {state, since}}`, `pending` or `firing`); also the event that brings what has become of some,
null where one is over. Absent: nobody has looked yet."""
PULLED: Final = "pulled"
"""The event of what a source has given."""
REMEMBERED_MS: Final = 300_000
REMEMBERED: Final = 1_000
TREND: Final = 60  # points of a number's trend: it is small
_ABOUT: Final = (STALE, ALERTS)
State = Mapping[str, Any]
Resolution = Literal["raw", "10s", "1m"]
RESOLUTIONS: Final[tuple[Resolution, ...]] = ("raw", "10s", "1m")
_STEPS: Final[Mapping[Resolution, int]] = {"raw": 0, "10s": 10_000, "1m": 60_000}


class Bounds(Struct, frozen=True):
    """What a widget keeps at most.

    Args:
        rows: Of a table.
        points: By resolution, of a chart, beside those that it shows.
    """

    rows: int
    points: Mapping[Resolution, int]


class Step(Struct, frozen=True):
    """What a publication does.

    Args:
        state: What the widget has then.
        difference: What viewers are told, as an `append`; None: the whole.
        is_duplicate: It was here before, and does nothing.
    """

    state: State
    difference: dict[str, Any] | None = None
    is_duplicate: bool = False


def shown(state: State) -> dict[str, Any]:
    """What viewers see of what a widget has."""
    return {name: value for name, value in state.items() if name != HIDDEN}


def apply(
    widget: Widget,
    state: State | None,
    event: str,
    data: Any,
    *,
    id: str = "",
    now_ms: int,
    bounds: Bounds,
) -> Step:
    """Apply a publication.

    Args:
        widget: What it is about.
        state: What the widget has; None: nothing yet. Stays as it is.
        event: `set`, `append`, `increment`, `pulled`, `stale`, `alerts`.
        data: As the widget's type wants it.
        id: Of the publication.
        now_ms: The time.
        bounds: What is kept.

    Raises:
        Invalid: It cannot be done with this widget, or with what it has; `faults` says where.
    """
    if event == STALE:
        return _stale(state, data, now_ms)
    if event == ALERTS:
        return _alerts(state, data)
    # What is told by its own times, or sets, may come twice; what adds may not.
    adds = event == "increment" or (
        event == "append" and isinstance(data, dict) and "t" not in data
    )
    ids = _ids(state)
    if state is not None and adds and id and ids.get(id, 0) > now_ms - REMEMBERED_MS:
        return Step(state, is_duplicate=True)
    had = _valued(state)
    if event == PULLED:
        step = _pulled(widget, had, data, now_ms, bounds)
    else:
        step = _apply(widget, had, event, data, now_ms, bounds)
    if step.is_duplicate and state is not None and (event != PULLED or STALE not in state):
        return Step(state, is_duplicate=True)
    if adds and id:
        young = [(known, at) for known, at in ids.items() if at > now_ms - REMEMBERED_MS]
        ids = dict([*young, (id, now_ms)][-REMEMBERED:])
    after, difference = step.state, step.difference
    if state is not None and ALERTS in state:
        after = {**after, ALERTS: state[ALERTS]}
    if ids:
        after = {**after, HIDDEN: {**after.get(HIDDEN, {}), "ids": ids}}
    if state is not None and STALE in state:
        # It gives something again, be it what it gave before.
        if step.is_duplicate:
            difference = growth({STALE: None})
        elif difference is not None:
            difference = {**difference, "add": {**difference["add"], STALE: None}}
    return Step(after, difference)


def _valued(state: State | None) -> State | None:
    """What a widget has apart from what is said about it; None: no value yet."""
    if state is None or "at" not in state:
        return None
    return {name: value for name, value in state.items() if name not in _ABOUT}


def _alerts(state: State | None, data: Mapping[str, Any]) -> Step:
    """What has become of its alerts."""
    if state is None:
        raise NotFound("this widget has nothing")
    alerts = {**state.get(ALERTS, {}), **data}
    alerts = {id: about for id, about in alerts.items() if about is not None}
    if state.get(ALERTS) == alerts:
        return Step(state, is_duplicate=True)
    return Step({**state, ALERTS: alerts}, growth({ALERTS: dict(data)}))


def _stale(state: State | None, data: Mapping[str, Any], now_ms: int) -> Step:
    """Its source gives nothing: since the time of `data`, or else for as long as anything is known."""
    known = {} if state is None else state
    before = known.get(STALE, {})
    if before.get("code") == data["code"] and state is not None:
        return Step(state, is_duplicate=True)
    since = before.get("since") or data.get("since") or known.get("at") or now_ms
    told = {"since": since, "code": data["code"]}
    difference = None if state is None else growth({STALE: told})
    return Step({**known, STALE: told}, difference)


def _pulled(widget: Widget, state: State | None, data: Any, now_ms: int, bounds: Bounds) -> Step:
    """What a source gives is what there is; of a chart also the numbers of now, one for each line."""
    if isinstance(widget, Series):
        if isinstance(data, list):
            data = {"v": [[number] for number in data]}
        elif not isinstance(data, dict):
            data = {"v": [[data]]}
        if "t" not in data:
            return _apply(widget, state, "append", data, now_ms, bounds)
    step = _apply(widget, state, "set", data, now_ms, bounds)
    if state is not None and _told(step.state) == _told(state):
        return Step(state, is_duplicate=True)
    return step


def _told(state: State) -> dict[str, Any]:
    """What a widget says, apart from when it was given it."""
    return {name: value for name, value in shown(state).items() if name != "at"}


def _ids(state: State | None) -> dict[str, int]:
    """Publications that are known, and when they came."""
    ids: dict[str, int] = {} if state is None else state.get(HIDDEN, {}).get("ids", {})
    return ids


def _apply(
    widget: Widget, state: State | None, event: str, data: Any, now_ms: int, bounds: Bounds
) -> Step:
    match widget, event:
        case Stat(), "set":
            return _stat(widget, state, values.number(data, "/data"), now_ms)
        case Gauge(), "set":
            return _whole({"value": values.number(data, "/data")}, state, now_ms)
        case ((Stat() | Gauge() | Bar()), "increment"):
            return _increment(widget, state, data, now_ms)
        case Series(), "set":
            t, v = values.points(data, len(widget.lines), now_ms)
            return _replaced(state, _series(widget, t, v, now_ms, bounds))
        case Series(), "append":
            return _append(widget, state, data, now_ms, bounds)
        case Bar(), "set":
            return _whole({"bars": values.numbers(data)}, state, now_ms)
        case Table(), "set":
            columns = [column.id for column in widget.columns]
            return _whole({"rows": values.rows(data, columns, bounds.rows)}, state, now_ms)
        case Note(), "set":
            return _whole({"text": values.text(data, "/data")}, state, now_ms)
        case Status(), "set":
            return _whole({"items": _since(values.states(data), state, now_ms)}, state, now_ms)
        case _:
            raise Invalid(
                faults=[Fault("/event", f"cannot be done with a widget of type {_type(widget)}")]
            )


def number_of(widget: Widget, state: State, of: str | None) -> float | None:
    """The number that an alert is about, as it is now; None: there is none."""
    if "at" not in state:
        return None
    number: float | None
    match widget:
        case Series():
            names = [line.name for line in widget.lines]
            column = state[HIDDEN]["raw"]["v"][0 if of is None else names.index(of)]
            return column[-1] if column else None
        case Bar():
            number = state["bars"].get(of)
        case _:
            number = state["value"]
    return number


def fitted(widget: Widget, before: Widget, state: State) -> State | None:
    """What a widget has whose definition was changed; None: that is of no use to it any more."""
    had = _valued(state)
    if type(widget) is not type(before) or had is None:
        return None
    if STALE in state and (widget.source is UNSET or widget.source != before.source):
        state = {name: value for name, value in state.items() if name != STALE}
    if ALERTS in state and alerts_of(widget) != alerts_of(before):
        # Judged anew with the next number.
        state = {name: value for name, value in state.items() if name != ALERTS}
    match widget, before:
        case Series(), Series():
            if len(widget.lines) != len(before.lines):
                return None
            if _shown_rule(widget) == _shown_rule(before):
                return state
            t, v = _finest(state, int(widget.window_s * 1000))
            roll, _ = extended(empty(len(v)), t, v, _shown_rule(widget))
            hidden = {**state[HIDDEN], "n": roll.n}
            return {
                **state,
                "t": roll.t,
                "v": roll.v,
                "step_ms": _shown_rule(widget).step_ms,
                HIDDEN: hidden,
            }
        case Stat(), Stat() if widget.trend_s != before.trend_s:
            roll, _ = extended(empty(1), state["t"], state["v"], _trend_rule(widget))
            return {**state, "t": roll.t, "v": roll.v, HIDDEN: {**state[HIDDEN], "n": roll.n}}
        case Table(), Table() if {*widget.columns} != {*before.columns}:
            return None
        case _:
            return state


def points_of(state: State, resolution: Resolution) -> tuple[list[int], list[list[float | None]]]:
    """The points that a chart keeps in a resolution."""
    kept = state[HIDDEN][resolution]
    return kept["t"], kept["v"]


# ── numbers ──
def _stat(widget: Stat, state: State | None, value: float, now_ms: int) -> Step:
    had = _roll(state, 1)
    at = now_ms if state is None else max(now_ms, state["at"])  # clocks of several nodes differ
    roll, ends = extended(had, [at], [[value]], _trend_rule(widget))
    after = {"value": value, "at": at, "t": roll.t, "v": roll.v, HIDDEN: {"n": roll.n}}
    if state is None:
        return Step(after)
    return Step(
        after, growth({"value": value, "at": at, "t": ends.t, "v": ends.v}, ends.pop, ends.drop)
    )


def _trend_rule(widget: Stat) -> Rule:
    window_ms = int(widget.trend_s * 1000)
    return Rule(step_of(window_ms, TREND), window_ms, TREND + 1, "last")


def _increment(widget: Stat | Gauge | Bar, state: State | None, data: Any, now_ms: int) -> Step:
    if isinstance(widget, Bar):
        had = {} if state is None else state["bars"]
        more = values.numbers(data)
        sums = {name: _sum(had.get(name, 0), by, values.place(name)) for name, by in more.items()}
        if len({**had, **sums}) > values.BARS:
            raise values.wrong("/data", f"at most {values.BARS} bars")
        return _whole({"bars": {**had, **sums}}, state, now_ms)
    by = values.number(1 if data is None else data, "/data")
    value = _sum(0 if state is None else state["value"], by, "/data")
    if isinstance(widget, Stat):
        return _stat(widget, state, value, now_ms)
    return _whole({"value": value}, state, now_ms)


def _sum(value: float, by: float, at: str) -> float:
    return values.number(value + by, at)


# ── charts ──
def _append(widget: Series, state: State | None, data: Any, now_ms: int, bounds: Bounds) -> Step:
    newest = [] if state is None else state[HIDDEN]["raw"]["t"]
    after_ms = newest[-1] + 1 if newest else 0
    t, v = values.points(data, len(widget.lines), now_ms, after_ms)
    if state is None:
        return Step(_series(widget, t, v, now_ms, bounds))
    hidden = state[HIDDEN]
    if t and newest and t[0] <= newest[-1]:
        if _has(hidden["raw"], t, v):
            return Step(state, is_duplicate=True)
        raise values.wrong("/data/t/0", "out of order: not behind the newest point")
    rule = _shown_rule(widget)
    roll, ends = extended(_roll(state, len(v)), t, v, rule)
    rolls = {
        name: _as_json(
            extended(_from_json(hidden[name]), t, v, _kept_rule(name, widget, bounds))[0]
        )
        for name in RESOLUTIONS
    }
    after = {**state, "t": roll.t, "v": roll.v, "at": now_ms, HIDDEN: {"n": roll.n, **rolls}}
    return Step(after, growth({"t": ends.t, "v": ends.v, "at": now_ms}, ends.pop, ends.drop))


def _series(widget: Series, t: Sequence[int], v: Columns, now_ms: int, bounds: Bounds) -> State:
    """What a chart has whose points are these."""
    none, rule = empty(len(widget.lines)), _shown_rule(widget)
    roll, _ = extended(none, t, v, rule)
    rolls: dict[str, Any] = {
        name: _as_json(extended(none, t, v, _kept_rule(name, widget, bounds))[0])
        for name in RESOLUTIONS
    }
    hidden: dict[str, Any] = {"n": roll.n, **rolls}
    return {"t": roll.t, "v": roll.v, "step_ms": rule.step_ms, "at": now_ms, HIDDEN: hidden}


def _replaced(state: State | None, after: State) -> Step:
    """A chart's points in place of those before; viewers are told what is another, where most are the same."""
    if state is None or not after["t"] or after["t"][0] not in state["t"]:
        return Step(after)
    t, v = state["t"], state["v"]
    drop = t.index(after["t"][0])
    same = 0
    for old, new in zip(range(drop, len(t)), range(len(after["t"])), strict=False):
        if t[old] != after["t"][new] or any(
            had[old] != has[new] for had, has in zip(v, after["v"], strict=True)
        ):
            break
        same += 1
    if 2 * same < len(after["t"]):
        return Step(after)
    add = {"t": after["t"][same:], "v": [column[same:] for column in after["v"]], "at": after["at"]}
    return Step(after, growth(add, len(t) - drop - same, drop))


def _has(raw: Mapping[str, Any], t: Sequence[int], v: Columns) -> bool:
    """Whether exactly these points are there: a repetition, not a correction."""
    if t[0] not in raw["t"]:
        return False
    begin = raw["t"].index(t[0])
    end = begin + len(t)
    return raw["t"][begin:end] == [*t] and [column[begin:end] for column in raw["v"]] == [
        *map(list, v)
    ]


def _finest(state: State, window_ms: int) -> tuple[list[int], list[list[float | None]]]:
    """What is known of the newest `window_ms`: each stretch in the finest resolution that reaches so far back."""
    rolls = [_from_json(state[HIDDEN][name]) for name in RESOLUTIONS]
    if not rolls[0].t:
        return rolls[0].t, rolls[0].v
    found = cut(rolls[0], rolls[0].t[-1] - window_ms)
    for name, coarse in zip(RESOLUTIONS[1:], rolls[1:], strict=True):
        older = cut(coarse, rolls[0].t[-1] - window_ms)
        # The step in which the finer one begins has points of it: left to that.
        count = bisect_right(older.t, found.t[0] - _STEPS[name])
        times = [*older.t[:count], *found.t]
        columns = [[*old[:count], *new] for old, new in zip(older.v, found.v, strict=True)]
        found = Roll(times, columns, found.n)
    return found.t, found.v


def _shown_rule(widget: Series) -> Rule:
    window_ms = int(widget.window_s * 1000)
    return Rule(step_of(window_ms, widget.steps), window_ms, widget.steps + 1, widget.roll_up)


def _kept_rule(name: Resolution, widget: Series, bounds: Bounds) -> Rule:
    return Rule(_STEPS[name], values.BACK_MS, bounds.points[name], widget.roll_up)


def _roll(state: State | None, lines: int) -> Roll:
    return empty(lines) if state is None else Roll(state["t"], state["v"], state[HIDDEN]["n"])


def _as_json(roll: Roll) -> dict[str, Any]:
    return {"t": roll.t, "v": roll.v, "n": roll.n}


def _from_json(kept: Mapping[str, Any]) -> Roll:
    return Roll(kept["t"], kept["v"], kept["n"])


# ── what is set as a whole ──
def _whole(value: Mapping[str, Any], state: State | None, now_ms: int) -> Step:
    """A value in place of the one before; viewers are told what of it is another, where that is less."""
    after = {**value, "at": now_ms}
    if state is None:
        return Step(after)
    patch = merge_patch(shown(state), after)
    return Step(after, None if patch is None else growth(patch))


def _since(
    states: Mapping[str, Mapping[str, str]], state: State | None, now_ms: int
) -> dict[str, Any]:
    """States, each with the time since when it is so."""
    had = {} if state is None else state["items"]
    found: dict[str, Any] = {}
    for name, each in states.items():
        before = had.get(name)
        since = now_ms
        if before is not None and before["state"] == each["state"]:
            since = before["since"]
        found[name] = {**each, "since": since}
    return found


def _type(widget: Widget) -> str:
    return str(widget.__struct_config__.tag)
