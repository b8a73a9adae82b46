"""A person's page of preferences, behind a link that is good for a while: forms without a script.

Each button is one change of what is there then, so two open pages do not undo each other. After it the browser reads the page anew,
at the place where it was.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from clarion.api.layer import FORM, Api, Reply
from clarion.api.limits import PerCaller
from clarion.api.page import HTML, headed
from clarion.api.pages.plain import plain
from clarion.auth.rights import Public
from clarion.clock import Clock, as_ms
from clarion.errors import Invalid, TooLarge
from clarion.notifications.desk import Overview, Row
from clarion.notifications.engine import Engine
from clarion.notifications.preferences.choosing import Pressed, change_of
from clarion.notifications.preferences.document import ALL, Document
from clarion.notifications.preferences.links import Page
from clarion.notifications.workflows.times import zone_of

_UP: Final = "../"
_NAMES: Final = {"inbox": "Inbox", "email": "Email", "push": "Push", "sms": "SMS", "chat": "Chat", "webhook": "Webhook"}  # fmt: skip
_PLACES: Final = {"set": "what", "pause": "pause", "quiet": "quiet", "holiday": "holidays", "workday": "holidays", "unmute": "muted"}  # fmt: skip


class TokenPath(Struct, frozen=True):
    """A token of a person's page."""

    token: str


def add(api: Api, engine: Engine, clock: Clock) -> None:
    """Open the door of the page."""
    has_link = Public(reason="the link is given to one person, for a while, and signed")

    async def whose(token: str) -> Page:
        page = engine.links.read(token, Page)
        # Somebody who was erased must not come back by an old link.
        await engine.people.find(page.tenant, page.usr)
        return page

    @api.route(
        "GET", "/preferences/{token}", right=has_link, limit=PerCaller(), media=(HTML,), is_listed=False
    )  # fmt: skip
    async def show_preferences(path: TokenPath) -> Reply[str]:
        """What a person wants, with buttons to change it."""
        page = await whose(path.token)
        overview = await engine.desk.overview(page.tenant, page.usr)
        return _page(overview, clock.now_ms())

    @api.route(
        "POST", "/preferences/{token}", right=has_link, limit=PerCaller(), media=(HTML,), takes=FORM, is_listed=False
    )  # fmt: skip
    async def press(path: TokenPath, body: Pressed) -> Reply[str]:
        """Change what was pressed."""
        page = await whose(path.token)
        overview = await engine.desk.overview(page.tenant, page.usr)
        try:
            change = change_of(body, zone=overview.time_zone, now_ms=clock.now_ms())
            await engine.book.change(page.tenant, page.usr, change)
        except (Invalid, TooLarge) as exc:
            return _page(overview, clock.now_ms(), exc)
        pressed = next((place for name, place in _PLACES.items() if getattr(body, name)), "")
        # Relative: a proxy may serve us below a path. The fragment keeps the place on the page.
        return Reply("", status=303, media_type=HTML, headers={"location": f"{path.token}#{pressed}", "cache-control": "no-store"})  # fmt: skip


def _page(overview: Overview, now_ms: int, wrong: Invalid | TooLarge | None = None) -> Reply[str]:
    given, zone = overview.document, zone_of(overview.time_zone)
    told = f'<p class="told" role="alert">Nothing was changed: {escape(_why(wrong))}.</p>' if wrong else ""  # fmt: skip
    parts = [
        told,
        *_matrix(overview),
        *_pause(given, now_ms, zone),
        *_quiet(given, overview.time_zone),
        *_holidays(given),
        *_muted(given, now_ms, zone),
    ]
    return plain(
        f"Notifications for {overview.name}", "".join(parts), up=_UP, status=422 if wrong else 200
    )


def _why(wrong: Invalid | TooLarge) -> str:
    return wrong.faults[0].detail if wrong.faults else wrong.message


# ── what, and by which channel ──


def _matrix(overview: Overview) -> Iterator[str]:
    rows = overview.items
    ordered = sorted({cell.channel for row in rows for cell in row.channels}, key=_place)
    yield '<section id="what"><h2>What you are told, and how</h2>'
    if not rows:
        yield '<p class="soft">There is nothing to choose yet.</p></section>'
        return
    yield '<form method="post">'
    yield from _all(overview.document, ordered)
    categories = [row for row in rows if row.kind == "category"]
    for category in categories:
        yield _row(category, "whole")
        parts = [r for r in rows if r.kind == "workflow" and r.category == category.key]
        yield from (_row(part, "part") for part in parts)
    yield from (_row(row, "whole") for row in rows if row.kind == "workflow" and not row.category)
    yield "</form></section>"


def _place(channel: str) -> tuple[int, str]:
    """Where a channel stands in each row: ours as they are named, then the application's."""
    return (list(_NAMES).index(channel) if channel in _NAMES else len(_NAMES), channel)


def _all(given: Document, channels: Sequence[str]) -> Iterator[str]:
    buttons = (
        _button("channel", name, "", "everything", _of_all(given, name)) for name in channels
    )
    yield f'<div class="row whole"><span class="name">Everything</span><span class="cells">{"".join(buttons)}</span></div>'


def _of_all(given: Document, channel: str) -> bool:
    return given.channels.get(channel, given.channels.get(ALL)) is not False


def _row(row: Row, look: str) -> str:
    if row.locked:
        cells = '<span class="soft">always on</span>'
    else:
        cells = "".join(
            _button(row.kind, cell.channel, row.key, row.name, cell.wanted, cell.condition)
            for cell in sorted(row.channels, key=lambda cell: _place(cell.channel))
        )
    return (
        f'<div class="row {look}"><span class="name">{escape(headed(row.name))}</span>'
        f'<span class="cells">{cells}</span></div>'
    )


def _button(
    kind: str, channel: str, key: str, name: str, is_on: bool, condition: str | None = None
) -> str:
    shown = _NAMES.get(channel) or headed(channel)
    mark = "✓ " if is_on else ""
    some = " (sometimes)" if condition else ""
    title = f' title="{escape(f"If {condition}")}"' if condition else ""
    value = f"{kind}|{channel}|{'off' if is_on else 'on'}|{key}"
    return (
        f'<button name="set" value="{escape(value)}" '
        f'aria-pressed="{"true" if is_on else "false"}" aria-label="{escape(f"{name}: {shown}{some}")}"{title}>'
        f"{mark}{escape(shown)}{some}</button>"
    )


# ── when ──


def _pause(given: Document, now_ms: int, zone: ZoneInfo) -> Iterator[str]:
    until = given.paused_until
    yield '<section id="pause"><h2>Pause</h2>'
    if until is not None and as_ms(until) > now_ms:
        shown = until.astimezone(zone).strftime("%Y-%m-%d %H:%M")
        yield f'<p>Paused until {shown}. Your inbox still fills.</p><form method="post"><button name="pause" value="end">Resume</button></form></section>'
        return
    yield (
        '<p class="soft">Nothing but your inbox for a while.</p>'
        '<form method="post" class="line"><button class="quiet" name="pause" value="day">For a day</button>'
        '<button class="quiet" name="pause" value="week">For a week</button></form>'
        '<form method="post" class="line"><label>Until <input type="date" name="until" required></label>'
        '<button class="quiet" name="pause" value="until">Pause</button></form></section>'
    )


def _quiet(given: Document, time_zone: str) -> Iterator[str]:
    spans = given.quiet
    first = spans[0] if spans else None
    yield f'<section id="quiet"><h2>Quiet hours</h2><p class="soft">What comes then waits until they are over. Times are those of {escape(time_zone)}.</p>'
    if spans is None:
        yield "<p>The defaults hold.</p>"
    elif not spans:
        yield "<p>None.</p>"
    else:
        shown = (f"{each.from_} to {each.to}" + (f" ({', '.join(each.days)})" if each.days else "") for each in spans)  # fmt: skip
        yield f"<p>{escape('; '.join(shown))}</p>"
    yield (
        '<form method="post" class="line">'
        f'<label>From <input type="time" name="begins" required value="{first.from_ if first else "22:00"}"></label>'
        f'<label>To <input type="time" name="ends" required value="{first.to if first else "07:00"}"></label>'
        '<button name="quiet" value="save">Save</button></form><form method="post" class="line">'
    )
    if spans is None or spans:
        yield '<button class="quiet" name="quiet" value="none">No quiet hours</button>'
    if spans is not None:
        yield '<button class="quiet" name="quiet" value="default">Use the defaults</button>'
    yield "</form></section>"


def _holidays(given: Document) -> Iterator[str]:
    yield '<section id="holidays"><h2>Days off</h2><p class="soft">Quiet all day.</p>'
    if given.holidays:
        items = (
            f'<li>{day}<button class="quiet" name="workday" value="{day}" aria-label="Remove {day}">Remove</button></li>'
            for day in sorted(given.holidays)
        )
        yield f'<form method="post"><ul class="list">{"".join(items)}</ul></form>'
    yield (
        '<form method="post" class="line"><label>Day <input type="date" name="day" required></label>'
        '<button name="holiday" value="add">Add</button></form></section>'
    )


def _muted(given: Document, now_ms: int, zone: ZoneInfo) -> Iterator[str]:
    muted = [each for each in given.muted if each.until is None or as_ms(each.until) > now_ms]
    if not muted:
        return
    yield '<section id="muted"><h2>Muted</h2><form method="post"><ul class="list">'
    for each in muted:
        name = f"{each.path.removeprefix('payload.')} {each.value}"
        until = "" if each.until is None else f" until {each.until.astimezone(zone):%Y-%m-%d %H:%M}"  # fmt: skip
        value = msgspec.json.encode((each.path, each.value)).decode()
        yield (
            f'<li>{escape(name + until)}<button class="quiet" name="unmute" value="{escape(value)}" '
            f'aria-label="{escape(f"Unmute {name}")}">Unmute</button></li>'
        )
    yield "</ul></form></section>"
