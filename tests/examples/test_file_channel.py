"""The example of a channel of one's own, in a whole server."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from clarion.app import build
from clarion.auth import system
from clarion.notifications.trigger_shapes import CreateTrigger
from clarion.notifications.workflows.definition import Definition
from clarion.settings import Settings
from examples import file_channel


async def test_what_is_said_on_it_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added before the start it is a channel like any other; it is tried again when it fails, and stands among the providers."""
    loop, written, fails = asyncio.get_running_loop(), asyncio.Event(), [OSError("disk is full")]
    append = file_channel._append

    def watched(line: str) -> None:
        if fails:
            raise fails.pop()
        append(line)
        loop.call_soon_threadsafe(written.set)

    monkeypatch.setattr(file_channel, "FILE", tmp_path / "messages.txt")
    monkeypatch.setattr(file_channel, "_append", watched)
    async with build(Settings(data_dir=str(tmp_path / "data")), file_channel.setup) as app:
        steps = [{"file": {"text": "Hello {{ recipient.name }}"}}]
        await app.workflows.catalog.put(system("tests"), Definition("greet", steps))
        body = {"workflow": "greet", "recipients": [{"id": "ann", "name": "Ann"}]}
        await app.workflows.triggers.accept(
            system("tests"), msgspec.convert(body, CreateTrigger), None
        )
        async with asyncio.timeout(20):
            await written.wait()
        [status] = app.workflows.sender.status()["file"]
        assert (status.provider, status.failed) == ("file", 1)
    assert (tmp_path / "messages.txt").read_text() == "ann: Hello Ann\n"
