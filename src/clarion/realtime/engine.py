"""`io.engine`: what happens below the namespaces, for plugins and for the log."""

from collections.abc import Sized
from typing import Final

from clarion.realtime.emitter import Emitter
from clarion.realtime.handlers import Runner

EVENTS: Final = ("connection", "connection_error", "headers", "initial_headers")


class Engine(Emitter):
    """The sessions of a server, seen from outside.

    | event | arguments | when |
    |---|---|---|
    | `connection` | the session (`id`, `transport_name`, `handshake`) | a session has begun, on whatever transport |
    | `connection_error` | what was refused, and why | a request was refused |
    | `initial_headers` | headers (to be changed), request | the answer that begins a session is about to be sent |
    | `headers` | headers (to be changed), request | any answer is about to be sent |

    Args:
        sessions: Those that are open.
        runner: Calls the listeners.
    """

    __slots__ = ("_sessions",)

    def __init__(self, sessions: Sized, runner: Runner) -> None:
        super().__init__(EVENTS, runner)
        self._sessions = sessions

    @property
    def clients_count(self) -> int:
        """How many sessions are open in this process."""
        return len(self._sessions)
