"""The Python SDK speaks of push devices."""

from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient, Client
from tests.api.live import lively
from tests.support.push_service import Browser


async def test_a_back_end_manages_the_devices_of_users(tmp_path: Path) -> None:
    """From the key that pages need to the last device; what is refused is an error by name."""
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["users:manage"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            assert len(await clarion.push_key()) == 87
            put = await clarion.put_push_device("ann", fcm="token", label="phone")
            assert (put.kind, put.renewal) == ("fcm", None)
            browser = Browser("https://fcm.googleapis.com/fcm/send/x").subscription
            web = await clarion.put_push_device("ann", subscription=browser)
            assert web.renewal
            await clarion.put_push_device("ann", apns="ab" * 32, topic="com.example.app")
            found = await clarion.push_devices("ann")
            assert sorted((each.kind, each.label) for each in found) == [
                ("apns", ""),
                ("fcm", "phone"),
                ("web", ""),
            ]
            await clarion.remove_push_device("ann", put.id)
            assert len(await clarion.push_devices("ann")) == 2
            with pytest.raises(ApiError) as refused:
                await clarion.remove_push_device("../ann", put.id)
            assert refused.value.code in ("invalid", "not_found")
            with pytest.raises(ApiError) as refused:
                await clarion.put_push_device("ann")
            assert refused.value.code == "invalid"


def test_both_clients_say_the_same() -> None:
    """Each method of one is one of the other."""
    names = [name for name in dir(Client) if "push" in name]
    assert names == [name for name in dir(AsyncClient) if "push" in name]
    assert "push_devices" in names
