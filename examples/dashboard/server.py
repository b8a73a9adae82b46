"""A widget that asks a function: `clarion serve --app examples.dashboard.server:setup`."""

from clarion.app import App
from clarion.features.dashboard import Asked


def setup(app: App) -> None:
    """Called before the server starts."""

    @app.dashboards.source("sockets_open")
    async def sockets_open(asked: Asked) -> int:
        return len(app.io.of(asked.params["namespace"]).sockets)
