"""The Socket.IO server, usable alone: sessions, namespaces, rooms, acks, bounded egress. See docs/explanation/realtime.md.

Give `Server` to `transports.HttpServer` and clients of the official library can connect. Nothing here knows users, topics or storage.
"""

from clarion.errors import AckTimeout, ConnectRefused, Disconnected
from clarion.realtime.cookie import Cookie
from clarion.realtime.egress import Sent
from clarion.realtime.entrance import RefusedRequest
from clarion.realtime.handshake import Handshake
from clarion.realtime.namespace import Namespace
from clarion.realtime.operators import Operator, SocketOperator
from clarion.realtime.origins import Cors
from clarion.realtime.raw import RawConnection
from clarion.realtime.remote import RemoteSocket
from clarion.realtime.server import Server
from clarion.realtime.shelf import Expired
from clarion.realtime.socket import Socket
from clarion.realtime.transports.base import Prepared
from clarion.realtime.transports.request import Request

__all__ = [
    "AckTimeout",
    "ConnectRefused",
    "Cookie",
    "Cors",
    "Disconnected",
    "Expired",
    "Handshake",
    "Namespace",
    "Operator",
    "Prepared",
    "RawConnection",
    "RefusedRequest",
    "RemoteSocket",
    "Request",
    "Sent",
    "Server",
    "Socket",
    "SocketOperator",
]
