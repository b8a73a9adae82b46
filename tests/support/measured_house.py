"""As `measured_server`, with the Socket.IO server of a whole Clarion: its credentials, its commands in the namespace `/clarion`.

python -m tests.support.measured_house '{"auth": {…}, "settings": {…}, "limits": {…}}'
"""

import contextlib
import json
import sys
import tempfile

from clarion.app import build
from clarion.realtime import Server
from clarion.realtime.transports import HttpServer, run
from clarion.settings import Auth, Limits, Realtime, Settings
from tests.support.measured_server import Wanted, main


async def house(wanted: Wanted, stack: contextlib.AsyncExitStack) -> tuple[Server, HttpServer]:
    """A Clarion with an empty folder of its own."""
    settings = Settings(
        data_dir=stack.enter_context(tempfile.TemporaryDirectory()),
        realtime=Realtime(**wanted.get("settings", {})),
        limits=Limits(**wanted.get("limits", {})),
        auth=Auth(**wanted["auth"]),
    )
    app = await stack.enter_async_context(build(settings))
    return app.io, HttpServer(
        app.http,
        limits=settings.limits,
        clock=app.clock,
        endpoints=app.io.endpoints,
        on_stopping=app.stopping,
        handle_signals=False,
    )


if __name__ == "__main__":
    run(main(json.loads(sys.argv[1]), house))
