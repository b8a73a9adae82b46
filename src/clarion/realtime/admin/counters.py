"""What has happened since a page was last told: read off the process's metrics, so that nothing is counted for the page's sake."""

from collections.abc import Iterator
from typing import Any, Final

from clarion.protocol.codes import Reason
from clarion.telemetry import Tally, handshakes, packet_bytes, packets, session_closed

_TYPES: Final[tuple[tuple[str, str | None, Tally], ...]] = (
    ("rawConnection", None, handshakes.labels("opened")),
    ("packetsIn", None, packets.labels("in")),
    ("packetsOut", None, packets.labels("out")),
    ("bytesIn", None, packet_bytes.labels("in")),
    ("bytesOut", None, packet_bytes.labels("out")),
    *(
        ("rawDisconnection", reason.text, session_closed.labels(reason.name.lower()))
        for reason in Reason
    ),
)


class Counters:
    """Differences of the metrics, in the page's words."""

    def __init__(self) -> None:
        self._before = [tally.value for *_, tally in _TYPES]

    def take(self, now_ms: int) -> list[dict[str, Any]]:
        """What has happened since the last call, as of this second."""
        before, self._before = self._before, [tally.value for *_, tally in _TYPES]
        return list(self._since(before, now_ms // 1000 * 1000))

    def _since(self, before: list[int], second_ms: int) -> Iterator[dict[str, Any]]:
        for (kind, detail, _), then, now in zip(_TYPES, before, self._before, strict=True):
            if now != then:
                more = {} if detail is None else {"subType": detail}
                yield {"timestamp": second_ms, "type": kind, **more, "count": now - then}
