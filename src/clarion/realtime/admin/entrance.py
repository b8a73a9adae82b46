"""Who may look: a password, or the session that a page got for one.

Whatever is wrong, the page is told the words that make it show its form again. Tries that fail are counted by address, so that
passwords cannot be guessed; a session's id is 120 random bits.
"""

import hmac
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from clarion.clock import Clock
from clarion.errors import RateLimited, Unauthenticated
from clarion.ids import Ids
from clarion.realtime.addresses import network
from clarion.realtime.admission import spend
from clarion.realtime.socket import Socket
from clarion.telemetry import admin_logins, get_logger, limit_exceeded

log = get_logger(__name__)

Verify = Callable[[str, str], bool | Awaitable[bool]]
"""Says whether a username and a password are right; both are empty where none were given."""

WRONG: Final = "invalid credentials"  # the page compares it word for word
SESSION_S: Final = 86_400.0  # as in Node
MOST_SESSIONS: Final = 1_000
MOST_ADDRESSES: Final = 10_000
MOST_CHARACTERS: Final = 1_000  # of a username or a password: none is longer

_KEY: Final = "admin session"  # in `socket.data`, between the middleware and the connection


def same(username: str, password: str) -> Verify:
    """Whoever knows these two; compared in a time that tells nothing."""
    wanted = username.encode(), password.encode()

    def verify(given_username: str, given_password: str) -> bool:
        given = given_username.encode(errors="replace"), given_password.encode(errors="replace")
        is_name = hmac.compare_digest(given[0], wanted[0])
        return hmac.compare_digest(given[1], wanted[1]) and is_name

    return verify


class Entrance:
    """The middleware of the namespace.

    Args:
        verify: Checks a username and a password.
        tries_per_min: Wrong passwords of one address; as many at once.
        clock: Monotonic time.
        ids: Makes the ids of sessions.
    """

    def __init__(self, verify: Verify, tries_per_min: int, clock: Clock, ids: Ids) -> None:
        # Fixed at creation
        self._verify, self._tries_per_min = verify, tries_per_min
        self._clock, self._ids = clock, ids
        # Session's id → when it ends, the oldest first.
        self._sessions: dict[str, float] = {}
        # Address → see `admission.spend`, in the order of the last failure.
        self._failures: dict[str, float] = {}

    async def __call__(self, socket: Socket) -> None:
        """Let an operator in.

        Raises:
            Unauthenticated: Neither a session of ours, nor a username and its password.
            RateLimited: Too many failures from this address.
        """
        auth, address = socket.handshake.auth, socket.handshake.address
        if self._is_session(auth.get("sessionId")):
            return
        username, password = _text(auth.get("username")), _text(auth.get("password"))
        # A page that has no session asks once without a password, to see whether it needs one: that is no try.
        is_try = bool(password)
        if is_try:
            self._take(address)
        verdict = self._verify(username, password)
        if not (await verdict if inspect.isawaitable(verdict) else verdict):
            admin_logins.labels("bad").inc()
            if is_try:
                log.warning("a wrong password for the admin page", address=address)
            raise Unauthenticated(WRONG)
        if is_try:
            self._give_back(address)
        admin_logins.labels("good").inc()
        log.info("an operator signed in to the admin page", address=address)
        if socket.is_joining:
            socket.data[_KEY] = self._new_session()

    def new_session(self, socket: Socket) -> str | None:
        """The id of the session that a socket has been given for its password; None: it came with one."""
        id: str | None = socket.data.pop(_KEY, None)
        return id

    def _is_session(self, id: object) -> bool:
        now = self._clock.monotonic()
        while self._sessions and next(iter(self._sessions.values())) <= now:
            del self._sessions[next(iter(self._sessions))]
        return isinstance(id, str) and id in self._sessions

    def _new_session(self) -> str:
        if len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        id = self._ids.token()
        self._sessions[id] = self._clock.monotonic() + SESSION_S
        return id

    # ── guessing: whoever tries pays, and gets it back if it was right ──
    def _take(self, address: str) -> None:
        who, now = network(address), self._clock.monotonic()
        spent_until = self._failures.pop(who, 0.0)
        tries = self._tries_per_min
        self._failures[who], wait_s = spend(spent_until, now, tries / 60, burst=tries)
        self._forget(now)
        if wait_s:
            admin_logins.labels("limited").inc()
            limit_exceeded.labels("login_tries").inc()
            raise RateLimited(
                "too many wrong passwords (limits.login_tries): try again later",
                retry_after_s=round(wait_s, 1),
            )

    def _give_back(self, address: str) -> None:
        who = network(address)
        if who in self._failures:
            self._failures[who] -= 60 / self._tries_per_min

    def _forget(self, now: float) -> None:
        oldest = next(iter(self._failures))
        if len(self._failures) > MOST_ADDRESSES or self._failures[oldest] <= now:
            del self._failures[oldest]


def _text(given: object) -> str:
    return given if isinstance(given, str) and len(given) <= MOST_CHARACTERS else ""
