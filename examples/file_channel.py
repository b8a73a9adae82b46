"""A channel of one's own, which writes messages to a file: `clarion serve --app examples.file_channel:setup`.

A workflow says on it what it declares: `- file: {text: "Hello {{ recipient.name }}"}`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from clarion.app import App
from clarion.notifications.channels import Outgoing, Sent

FILE = Path("messages.txt")


class Line(Struct):
    """What is said on the channel; a template."""

    text: str


class FileChannel:
    """A line for each message."""

    name, content, said = "file", Line, Line
    timeout_s, max_attempts, needs_addresses = 5.0, 3, False

    def addresses(self, recipient: Mapping[str, Any]) -> Sequence[str]:
        """Everybody is reached there."""
        return [str(recipient["id"])]

    async def send(self, message: Outgoing) -> Sent:
        """Write it; what fails is tried again."""
        line = f"{message.address}: {message.content['text']}\n"
        await asyncio.to_thread(_append, line)
        return Sent("file")


def _append(line: str) -> None:
    with FILE.open("a") as file:
        file.write(line)


def setup(app: App) -> None:
    """Called before the server starts."""
    app.workflows.channels.add(FileChannel())
