"""Who may open a session: how many a second, and pages of which origins.

A request without an Origin header does not come from a browser's page: cookies of a person can't be abused by it, so it passes.
Node checks the origin of nothing but what CORS lets a page read, so that any site can open a WebSocket with a person's cookies.
"""

from collections.abc import Sequence

from clarion.ids import Ids
from clarion.realtime.transports.head import Refused


def spend(spent_until: float, now: float, rate: float, *, burst: float) -> tuple[float, float]:
    """Take one from a token bucket that holds `burst` and gains `rate` a second.

    The bucket is one number, the time at which it will be full again (GCRA, ITU-T I.371).

    Args:
        spent_until: That time; 0 for a full one.
        now: Seconds.
        rate: Tokens a second.
        burst: Tokens of a full bucket.

    Returns:
        The time afterwards, and how many seconds are to be waited: 0 if there was one to take.
    """
    spent_until = max(spent_until, now)
    wait_s = spent_until + 1 / rate - now - burst / rate
    if wait_s > _ROUNDING_S:
        return spent_until, wait_s
    return spent_until + 1 / rate, 0.0


_ROUNDING_S = 1e-6  # sums of floats miss by less


class Admission:
    """The door of new sessions.

    Args:
        per_s: `limits.handshakes_per_s`; twice that at once.
        most: Sessions that may be open.
        ids: Spreads when those who are refused come back.
    """

    def __init__(self, per_s: int, most: int, ids: Ids) -> None:
        self._per_s, self._most, self._ids = per_s, most, ids
        self._spent_until = 0.0
        self.is_stopping = False

    def check(self, now: float, open_now: int) -> None:
        """Let one in.

        Raises:
            Refused: 503 with Retry-After.
        """
        if self.is_stopping:
            raise self._refusal("the server is stopping", "")
        if open_now >= self._most:
            raise self._refusal("too many sessions", "connections")
        self._spent_until, wait_s = spend(
            self._spent_until, now, self._per_s, burst=2 * self._per_s
        )
        if wait_s:
            raise self._refusal("too many new sessions at once", "handshakes_per_s")

    def _refusal(self, why: str, limit: str) -> Refused:
        retry_s = round(self._ids.uniform(1, 10))
        return Refused(503, why, retry_after_s=retry_s, limit=limit)


class Origins:
    """Which pages may talk to the server from a browser.

    Args:
        allowed: Origins besides the server's own, such as `https://app.example.com`; `*` is everybody.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._everybody = "*" in allowed
        self._allowed = {origin.rstrip("/").lower().encode(): None for origin in allowed}

    def allows(self, origin: bytes, host: bytes, *, is_secure: bool) -> bool:
        """Whether a request may be served.

        Args:
            origin: Its Origin header, empty if there is none.
            host: Its Host header: the page may be the server's own.
            is_secure: Whether it came over TLS, as far as we know: a proxy may have taken it off.
        """
        origin = origin.lower()
        if not origin or self._everybody or origin in self._allowed:
            return True
        scheme, _, page = origin.partition(b"://")
        if scheme not in _PORTS or (is_secure and scheme != b"https"):
            return False
        return _with_port(page, scheme) == _with_port(host.lower(), scheme)

    def cors(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Headers with which a browser lets the page read the answer; none for the server's own pages and other programs."""
        if not origin:
            return []
        if origin.lower() in self._allowed:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-credentials", b"true"),
                (b"vary", b"Origin"),
            ]
        return [(b"access-control-allow-origin", b"*")] if self._everybody else []


_PORTS = {b"http": b":80", b"https": b":443"}


def _with_port(host: bytes, scheme: bytes) -> bytes:
    """`example.com` and `example.com:443` are one for https."""
    bare = host.rpartition(b"]")[2]  # of an IPv6 address what stands behind its brackets
    return host if b":" in bare else host + _PORTS[scheme]
