"""The rooms whose members the application knows."""

from pathlib import Path

import pytest
from examples.rooms import setup

from clarion.app import App
from clarion.auth import Principal
from clarion.errors import Forbidden
from clarion.settings import Settings
from clarion.topics import Publish


async def test_members_may_and_others_may_not(tmp_path: Path) -> None:
    """The hook decides, room by room."""
    said = Publish(event="said", data="hello")
    async with App(Settings(data_dir=str(tmp_path / "data")), setup) as app:
        assert (await app.topics.publish(Principal(id="ann"), "room:lunch", said)).offset == 1
        for who, room in (("cyd", "lunch"), ("ann", "attic")):
            with pytest.raises(Forbidden):
                await app.topics.publish(Principal(id=who), f"room:{room}", said)
