"""Bugs of the kind that a soak must find, to be planted into a server: one for each thing that can be kept for ever."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from clarion.realtime import Server, Socket
from clarion.realtime.heartbeat import Timed
from clarion.telemetry import spawn

_kept: list[Any] = []


def plant(name: str, io: Server) -> None:
    """Plant a leak by name: it shows with every socket."""
    io.on("connection", LEAKS[name](io))


def _memory(_: Server) -> Callable[[Socket], None]:
    def connected(_socket: Socket) -> None:
        _kept.append(bytearray(os.urandom(1_000_000)))  # of malloc's
        _kept.append([str(number) for number in range(5_000)])  # and of Python's own

    return connected


def _task(_: Server) -> Callable[[Socket], None]:
    def connected(_socket: Socket) -> None:
        spawn(asyncio.Event().wait(), name="a task that never ends")

    return connected


def _timer(io: Server) -> Callable[[Socket], None]:
    class Forgotten(Timed):
        __slots__ = ()

    def connected(_socket: Socket) -> None:
        io.wheel.set(Forgotten(), io.wheel.now() + 3600)

    return connected


def _file(_: Server) -> Callable[[Socket], None]:
    def connected(_socket: Socket) -> None:
        os.open("/dev/null", os.O_RDONLY)

    return connected


LEAKS: dict[str, Callable[[Server], Callable[[Socket], None]]] = {
    "memory": _memory,
    "task": _task,
    "timer": _timer,
    "file": _file,
}
