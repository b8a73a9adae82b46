"""What goes over the wire, as values: bytes to packets to state and back. No I/O, no clock, no chance, no settings.

`codes` names every way in which things end; `engineio`, `socketio` (with `jsontext`) and `msgpack_parser` are the codecs (`parser` names the
last two as choices), `session` is the state machine of one Engine.IO session, `frames` makes the RFC 6455 frames of a server. Use the modules by name:
`socketio.encode(packet)`.
"""

from clarion.protocol import (
    codes,
    engineio,
    frames,
    jsontext,
    msgpack_parser,
    parser,
    session,
    socketio,
)

__all__ = [
    "codes",
    "engineio",
    "frames",
    "jsontext",
    "msgpack_parser",
    "parser",
    "session",
    "socketio",
]
