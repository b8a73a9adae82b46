"""`clarion apply`: definitions that stand in an application's repository become those of its server.

Everything is read and judged first, as if all of it were there: with a fault anywhere, nothing is changed. Only what differs is put,
so that a second run makes no versions, and only where still is what the differences were shown of. What is only on the server is named
and left alone, unless `--prune` asks for what this key has written to go.
"""

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

from cyclopts import Parameter
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from clarion.cli import definitions
from clarion.cli.definitions import KINDS, Kept
from clarion.cli.remote import URL, Url, connected, safe
from clarion.cli.written import Flaw, Written, files, read, yaml_of
from clarion.client import ApiError, Client, Judged
from clarion.errors import ClarionError, ServerError, UsageError

_DEPENDS = (409, 422)  # a refusal that something else which is about to be put may answer
_SIGNS = {
    "new": ("+", "green"),
    "changed": ("~", "yellow"),
    "unchanged": ("=", "dim"),
    "only on the server": ("?", "cyan"),
    "goes": ("-", "red"),
}
JUDGING_S = 60.0  # of a thousand definitions, which take three where nothing else happens


class Plan(Struct, frozen=True):
    """What would become of a file's definition."""

    written: Written
    judged: Judged

    @property
    def named(self) -> str:
        """As it is told: workflows by their name alone."""
        return told(str(self.judged.kind), self.judged.name)


def apply(
    paths: list[Path],
    /,
    *,
    dry_run: Annotated[
        bool,
        Parameter(
            name=["--dry-run", "--check"],
            negative="",
            help="Change nothing; exit status 1 if something would change, 2 if that could not be found out",
        ),
    ] = False,
    prune: Annotated[
        bool,
        Parameter(negative="", help="Remove what this key has written and no file says any longer"),
    ] = False,
    url: Url = URL,
    key: Annotated[
        str | None,
        Parameter(
            help=r"An API key with workflows:\*, and notifications:send where there are schedules. $CLARION_KEY"
        ),
    ] = None,
) -> None:
    """Make workflows, templates, schedules and defaults written in YAML files those of the server, and show what differs.

    Args:
        paths: Files, or folders of .yaml files.
    """
    written, flaws = _read(files(paths))
    if flaws:
        _tell(flaws)
    try:
        _apply(written, url, key, is_dry=dry_run, prune=prune)
    except ClarionError as exc:
        if not dry_run:
            raise
        raise UsageError(exc.message) from exc  # of a check 1 is an answer, as it is of diff(1)


def _apply(written: list[Written], url: str, key: str | None, *, is_dry: bool, prune: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    with connected(url, key, timeout_s=JUDGING_S) as client:
        plans, me = _planned(client, written)
        there = definitions.there(client)
        off = {_name(each) for each in there if not each.is_active}
        for plan in plans:
            _show(console, plan, is_off=(plan.judged.kind, plan.judged.name) in off)
        files_say = {(plan.judged.kind, plan.judged.name) for plan in plans}
        others = [each for each in there if _name(each) not in files_say]
        gone = [each for each in others if prune and each.author == me and each.is_active]
        for each in others:
            _line(console, "goes" if each in gone else "only on the server", told(*_name(each)), "")
        _do(console, client, plans, gone, is_dry=is_dry)


def told(kind: str, name: str) -> str:
    """What a definition is called in a line."""
    return name if kind == "workflow" else f"{kind} {name}"


def _name(kept: Kept) -> tuple[str, str]:
    return kept.kind, kept.name


def _read(paths: list[Path]) -> tuple[list[Written], list[Flaw]]:
    written: dict[tuple[str, object], Written] = {}
    flaws: list[Flaw] = []
    for path in paths:
        try:
            found = read(path)
            name = found.kind, found.data[found.kind]
            if not isinstance(name[1], str):
                raise found.flaw(f"/{found.kind}", f"the {found.kind}'s name is expected, as text")
            if name in written:
                at = written[name].path
                raise found.flaw(f"/{found.kind}", f"{name[1]!r} stands in {at}, too")
            written[name] = found
        except Flaw as flaw:
            flaws.append(flaw)
    return list(written.values()), flaws


def _planned(client: Client, written: list[Written]) -> tuple[list[Plan], str]:
    """What would become of each, in the order in which they can be put; and who the server takes us for."""
    try:
        checked = definitions.check(client, [each.data for each in written])
    except ApiError as exc:
        # A number or a text that JSON cannot carry is told by its place among all of them.
        if exc.status == 413:
            more = "more than the server takes at once (limits.body_bytes): name some at a time, templates first"
            raise UsageError(f"nothing was applied: together the files are {more}") from exc
        faults = exc.problem.get("errors") or []
        if not faults:
            raise
        _tell([_placed(fault, written) for fault in faults])
    plans = [Plan(file, each) for file, each in zip(written, checked.items, strict=True)]
    if flaws := [
        plan.written.flaw(fault["pointer"], fault["detail"])
        for plan in plans
        for fault in plan.judged.faults
    ]:
        _tell(flaws)
    for plan in plans:
        for said in plan.judged.warnings:
            flaw = plan.written.flaw(said["pointer"], f"warning: {said['detail']}")
            print(safe(str(flaw)), file=sys.stderr)
    return sorted(plans, key=_turn), checked.author


def _turn(plan: Plan) -> tuple[int, bool, str]:
    judged = plan.judged
    assert judged.kind is not None
    return KINDS.index(judged.kind), "part" not in plan.written.data, judged.name


def _placed(fault: Mapping[str, str], written: list[Written]) -> Flaw:
    _, _, number, *rest = [*fault["pointer"].split("/"), "", ""]
    file = written[int(number)] if number.isdecimal() and int(number) < len(written) else written[0]
    return file.flaw("".join(f"/{step}" for step in rest if step), fault["detail"])


def _tell(flaws: list[Flaw]) -> NoReturn:
    for flaw in flaws:
        print(safe(str(flaw)), file=sys.stderr)
    raise UsageError(f"nothing was applied: {len(flaws)} fault{'s' * (len(flaws) != 1)}")


def _do(
    console: Console, client: Client, plans: list[Plan], gone: list[Kept], *, is_dry: bool
) -> None:
    waiting = [plan for plan in plans if plan.judged.state != "unchanged"]
    if not waiting and not gone:
        console.print("nothing to change")
        return
    if is_dry:
        console.print(f"{len(waiting) + len(gone)} would change")
        sys.exit(1)
    done = 0
    while waiting:
        later: list[Plan] = []
        refusal: ApiError | None = None
        for plan in waiting:
            try:
                definitions.put(client, plan.judged, plan.written.data)
            except ApiError as exc:
                if exc.status not in _DEPENDS:
                    raise _half(plan.named, exc, done) from exc
                refusal = (
                    exc  # what it needs, or what it would leave without words, may come behind
                )
                later.append(plan)
                continue
            done += 1
            version = f", version {plan.judged.version}" if plan.judged.version else ""
            console.print(f"applied {plan.named}{version}", markup=False)
        if refusal is not None and len(later) == len(waiting):
            raise _half(later[-1].named, refusal, done) from refusal
        waiting = later
    for each in sorted(gone, key=lambda kept: -KINDS.index(kept.kind)):
        try:
            definitions.remove(client, each)
        except ApiError as exc:
            raise _half(told(*_name(each)), exc, done) from exc
        done += 1
        what = "switched off" if each.kind == "workflow" else "removed"
        console.print(f"{what} {told(*_name(each))}", markup=False)


def _half(named: str, exc: ApiError, done: int) -> ServerError:
    why = exc.message
    if exc.code == "stale":
        why = "somebody has changed it since the differences were shown: run it again to see them"
    rest = (
        f"; {done} before it stay{'s' * (done == 1)} applied" if done else "; nothing was applied"
    )
    return ServerError(safe(f"{named}: {why}{rest}"))


def _show(console: Console, plan: Plan, *, is_off: bool) -> None:
    judged, path = plan.judged, plan.written.path
    more = [f"version {judged.version}"] if judged.version else []
    more = [*more, str(path)] if judged.state != "unchanged" else ["switched off"] * is_off
    _line(console, judged.state, plan.named, ", ".join(more))
    if judged.state != "changed":
        return
    old, new = (_lines(judged, each) for each in (judged.before, judged.after))
    for line in list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        console.print(Text(f"    {line}", style))


def _line(console: Console, state: str, name: str, more: str) -> None:
    sign, style = _SIGNS[state]
    console.print(Text(safe(f"{sign} {name}  {state}" + (f" ({more})" if more else "")), style))


def _lines(judged: Judged, definition: Mapping[str, Any] | None) -> list[str]:
    assert judged.kind is not None
    said = definitions.said(judged.kind, judged.name, definition or {})
    return yaml_of(said, is_sorted=True).splitlines()
