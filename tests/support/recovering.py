"""Scenarios of connection state recovery: a server that recovers, what came about, and that nothing is kept afterwards."""

import re

from clarion.settings import Realtime
from clarion.telemetry import recovery, recovery_kept
from tests.support.memory_transport import in_time, make_server

AWAY_S = 120.0
ON = Realtime(recovery_s=AWAY_S)


def outcomes():
    """How often each came about since the last look, those that did."""
    counts = {value: tally.value for value, tally in recovery._tallies.items()}
    changed = {value: count - _SEEN.get(value, 0) for value, count in counts.items()}
    _SEEN.update(counts)
    return {value: count for value, count in changed.items() if count}


_SEEN: dict[str, int] = {}


def kept(what):
    """What is kept of this scenario's server."""
    return recovery_kept.labels(what).value - _KEPT_BEFORE.get(what, 0)


_KEPT_BEFORE: dict[str, int] = {}


def recovering(scenario, limits=None, on=ON, **more):
    """Run a scenario with a server that recovers; afterwards nothing may be kept."""

    async def whole(_loop):
        outcomes()
        _KEPT_BEFORE.update({what: each.value for what, each in recovery_kept._tallies.items()})
        io = make_server(on, limits, **more)
        try:
            await scenario(io)
        finally:
            await io.close()
        assert (kept("events"), kept("bytes"), kept("sockets")) == (0, 0, 0)

    in_time(whole)


def shape(frame):
    """A frame with the values that differ from run to run masked, as in the vectors."""
    text = frame if isinstance(frame, str) else frame.decode()
    text = re.sub(r'"(sid|pid)":"[\w-]{20}"', r'"\1":"<\1>"', text)
    return re.sub(r'"[\w-]{8}\.\d+"\]', '"<offset>"]', text)
