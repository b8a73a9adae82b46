"""A WebSocket server that sends each message back, for conformance suites: `python -m clarion.testing.echo_server`.

It is the raw endpoint `/` of an ordinary server, on every path, open to pages of every origin, with room for messages of 16 MiB in as
many fragments as anybody may think of. permessage-deflate is agreed on where a client offers it, with every parameter it may have.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from clarion.errors import SettingsError
from clarion.protocol.deflate import Deflate
from clarion.realtime import RawConnection, Server
from clarion.settings import Limits
from clarion.telemetry import configure_logging

MIB: Final = 1 << 20
LIMITS: Final = Limits(
    max_payload_bytes=16 * MIB,
    fragments=MIB,
    egress_hard_bytes=64 * MIB,
    bytes_per_s=0,
    packets_per_s=0,
    close_s=2.0,
    drain_s=0.1,
)
DEFLATE: Final = Deflate(threshold_bytes=0, level=1, has_takeover=True)


def echo(ws: RawConnection) -> None:
    """Text as text, binary as binary, before anything else is looked at."""
    ws.on_message(ws.send)


def echo_server(*, deflate: Deflate | None = DEFLATE, limits: Limits = LIMITS) -> Server:
    """The server; `await server.serve(…)`.

    Args:
        deflate: How to compress for clients that offer it; None: not at all.
        limits: How much clients may do.
    """
    io = Server(limits=limits, allowed_origins=["*"])
    io.websocket("/", echo, deflate=deflate)
    return io


def _tell(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m clarion.testing.echo_server")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=9001, help="0 takes a free one")
    parser.add_argument(
        "--deflate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="agree on permessage-deflate with clients that offer it",
    )
    given = parser.parse_args(arguments)
    configure_logging("warning")  # to stderr: stdout is for the port
    io = echo_server(deflate=DEFLATE if given.deflate else None)
    try:
        io.run(given.host, given.port, on_started=_tell)
    except SettingsError as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()
