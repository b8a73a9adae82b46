"""Presence with the unchanged JavaScript client, on a real server."""

from pathlib import Path

from tests.support.official import official
from tests.support.server import running


async def test_the_unchanged_client_is_present(tmp_path: Path) -> None:
    """It enters, changes, blinks and goes; what it may not and what is too large it is told, and the connection lives on."""
    settings = {
        "CLARION_PRESENCE_OPEN": "lobby",
        "CLARION_PRESENCE_TICK_S": "0.02",
        "CLARION_PRESENCE_GRACE_S": "1",
    }
    with running(tmp_path, **settings) as server:
        tokens = [server.register(name)["access_token"] for name in ("ann", "ben")]
        async with official("presence.mjs", server.port, *tokens) as facts:
            told = {fact: value async for fact, value in facts}
        assert "Traceback" not in server.log
    assert told == {
        "subscribed": ["presence:lobby", "recoverable", False],
        "entered": [{"status": "online", "data": {"name": "Ann"}}, [{"status": "online"}], True],
        "count": "presence-count:lobby",
        "updated": ["away", "at lunch"],
        "refused": "invalid",
        "forbidden": "forbidden",
        "too large": "too_large",
        "contacts": [["ann", "online"], ["ben", "online"]],
        "invisible": ["ben", "offline"],
        "lock": 30,
        "locked": ["conflict", {"user": "ben"}],
        "a blink": [],
        "gone": ["remove", "ben"],
    }
