"""How a session is reached: one port for HTTP, polling and WebSocket, bounded in every direction.

`HttpServer` listens and runs; `WebSocket` is a connection that carries messages; `Refused` is how `admit` says no to an `Upgrade`.
"""

from clarion.realtime.transports.elsewhere import Others
from clarion.realtime.transports.head import Refused, Upgrade
from clarion.realtime.transports.http import LOCAL
from clarion.realtime.transports.leaving import Admit
from clarion.realtime.transports.message import WebSocket
from clarion.realtime.transports.ports import listen, listen_local, reserve, reserve_many
from clarion.realtime.transports.serve import HttpServer, run, settle_memory

__all__ = [
    "LOCAL",
    "Admit",
    "HttpServer",
    "Others",
    "Refused",
    "Upgrade",
    "WebSocket",
    "listen",
    "listen_local",
    "reserve",
    "reserve_many",
    "run",
    "settle_memory",
]
