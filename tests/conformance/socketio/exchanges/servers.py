"""What the server of each story is like."""

from typing import Any

from clarion.errors import ConnectRefused
from clarion.realtime.cookie import Cookie
from clarion.settings import Limits, Realtime
from tests.conformance.socketio.exchanges.stage import LINES
from tests.conformance.socketio.exchanges.stories import STORIES

SMALL = Limits(max_payload_bytes=100, drain_s=0.1, close_s=1.0)
USUAL = Limits(drain_s=0.1, close_s=1.0)
SMALL_ONES = {"too-large"}
QUICK = Realtime(ping_interval_s=0.2, ping_timeout_s=0.15, connect_timeout_s=0.3)
ORIGINS = {
    "cors-list": ["https://a.example", "https://b.example"],
    "cors-list-miss": ["https://a.example", "https://b.example"],
    "cors-star": ["*"],
    "allow-request-refused": ["*"],
}


SETTINGS = {
    "heartbeat-no-pong": QUICK,
    "connect-timeout": QUICK,
    "upgrade-timeout": Realtime(upgrade_timeout_s=0.3),
    "polling-disabled": Realtime(transports=["websocket"]),
    "no-upgrades": Realtime(allow_upgrades=False),
    "ws-deflate-on": Realtime(deflate=True, deflate_threshold_bytes=1),
    "no-slash-config": Realtime(add_trailing_slash=False),
    "no-slash-config-slash": Realtime(add_trailing_slash=False),
}


def refuse(request: Any) -> bool:
    if request.header(b"x-no"):
        raise ConnectRefused("go away")
    return False


def server_of(name: str) -> dict[str, Any]:
    more: dict[str, Any] = {"bare_errors": True, "settings": SETTINGS.get(name)}
    if name.startswith("cors-") or name in {"ws-cookie", "allow-request-refused"}:
        more["allowed_origins"] = ORIGINS.get(name, ["https://example.com"])
    if name in {"cors-list", "cors-list-miss"}:
        more["cookie"] = Cookie(
            name="my", path="/x", http_only=False, same_site="strict", max_age_s=86_400
        )
    elif more.get("allowed_origins") == ["https://example.com"]:
        more["cookie"] = True
    if "forbidden" in name or "allow-request" in name:
        more["allow_request"] = refuse
    more["limits"] = (
        SMALL
        if any('"maxPayload":100}' in str(LINES[each]) for each in STORIES[name][1])
        or name in SMALL_ONES
        else USUAL
    )
    return more
