"""Sources: what widgets show is asked of a function of the application, or of an address that answers with JSON."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct

from clarion.errors import Fault, Invalid, NotFound, OutboundRefused, Unavailable, UsageError
from clarion.features.dashboard.definition import WIDGET_ID, Definition, Source
from clarion.outbound import Outbound
from clarion.topics.kinds import Topic

HEADERS: Final = {"accept": "application/json"}
REDIRECTS: Final = 3
# Floats are read by Python: see protocol.jsontext.
_decode: Final = msgspec.json.Decoder(float_hook=float).decode


class Asked(Struct, frozen=True):
    """What a function is asked for.

    Args:
        tenant: Whose dashboard it is.
        dashboard: Its id.
        widget: Whose id.
        params: Of the widget's definition.
    """

    tenant: str
    dashboard: str
    widget: str
    params: Mapping[str, Any]


Function = Callable[[Asked], Awaitable[Any]]
"""Gives what the widget shows: what could be set (of a chart also a list of the numbers of now, one for each line). What it raises is
logged, and viewers are told that the widget is stale."""
F = TypeVar("F", bound=Function)


class Sources:
    """The functions of this process, and the door to the outside.

    Args:
        outbound: Asks addresses.
        timeout_s: For an answer (s).
        most_bytes: Of an answer.
    """

    def __init__(self, outbound: Outbound, *, timeout_s: float, most_bytes: int) -> None:
        self._outbound = outbound
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._functions: dict[str, Function] = {}

    def add(self, name: str, function: Function) -> None:
        """Make a function known. Every process of a cluster is given the same.

        Raises:
            UsageError: The name is none, or taken; or it is no coroutine function: whoever computes for long would hold up the server.
        """
        if not re.match(WIDGET_ID, name) or name in self._functions:
            raise UsageError(f"source {name!r}: the name is taken, or none")
        if not inspect.iscoroutinefunction(function):
            raise UsageError(f"source {name!r} must be an async function")
        self._functions[name] = function

    def check(self, given: Definition) -> None:
        """Refuse sources that are not there.

        Raises:
            Invalid: A function that is not known; a URL that may not be called.
        """
        faults = []
        for i, widget in enumerate(given.widgets):
            at = f"/widgets/{i}/source"
            if widget.source is UNSET:
                continue
            if widget.source.url is not None:
                try:
                    self._outbound.check(widget.source.url)
                except OutboundRefused as exc:
                    faults.append(Fault(f"{at}/url", exc.message))
            elif widget.source.function not in self._functions:
                faults.append(Fault(f"{at}/function", "this server has no source of that name"))
        if faults:
            raise Invalid("a widget's source cannot be asked", faults=faults[:20])

    async def ask(self, topic: Topic, widget: str, source: Source) -> Any:
        """What a source gives now.

        Raises:
            Unavailable: Nothing in time, or an answer that is none.
            OutboundRefused: The address leads where none may lead.
            NotFound: This process does not have the function.
            What the function raises.
        """
        if source.url is not None:
            return _part(await self._fetch(source.url), source.pointer)
        function = self._functions.get(source.function or "")
        if function is None:
            raise NotFound("this server has no source of that name")
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await function(Asked(topic.tenant, topic.name, widget, source.params))
        except TimeoutError as exc:
            raise Unavailable(f"no answer within {self._timeout_s:g} s") from exc
        return _part(self._plain(answer), source.pointer)

    async def _fetch(self, url: str) -> Any:
        answer = await self._outbound.request(
            "GET",
            url,
            HEADERS,
            max_bytes=self._most_bytes,
            deadline_s=self._timeout_s,
            redirects=REDIRECTS,
        )
        if answer.status != 200:
            raise Unavailable(f"it answered with status {answer.status}")
        try:
            return _decode(answer.body)
        except (ValueError, RecursionError) as exc:
            raise Invalid("it answered with what is no JSON") from exc

    def _plain(self, answer: Any) -> Any:
        """As JSON has it."""
        try:
            text = msgspec.json.encode(answer)
        except (TypeError, ValueError, RecursionError) as exc:
            raise Invalid("what it gave has no JSON") from exc
        if len(text) > self._most_bytes:
            raise Invalid(f"what it gave exceeds {self._most_bytes} bytes")
        return _decode(text)


def _part(answer: Any, pointer: str) -> Any:
    """The part of an answer that a JSON pointer names (RFC 6901 §4).

    Raises:
        Invalid: It has no such part.
    """
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(answer, dict) and name in answer:
            answer = answer[name]
        elif isinstance(answer, list) and name.isdecimal() and int(name) < len(answer):
            answer = answer[int(name)]
        else:
            raise Invalid("the answer has no such part")
    return answer
