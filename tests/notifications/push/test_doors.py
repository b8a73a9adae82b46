"""`/v1/push`: devices are the user's own, endpoints are of known push services, and tokens do what they were made for."""

from typing import Any

from clarion.storage.addresses import PUT, NewAddress
from tests.api.conftest import Site, bearer, problem
from tests.support.push_service import Browser

ENDPOINT = "https://updates.push.services.mozilla.com/wpush/v2/"


class Person:
    """A signed-in user's calls."""

    def __init__(self, site: Site, name: str, *scopes: str, **claims: Any) -> None:
        self._site, self._headers = site, bearer(site.token(name, *scopes, **claims))

    async def put(self, body: dict[str, Any], path: str = "/v1/push/devices") -> Any:
        return await self._site.http.post(path, json=body, headers=self._headers)

    async def devices(self, path: str = "/v1/push/devices") -> list[dict[str, Any]]:
        answer = await self._site.http.get(path, headers=self._headers)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def remove(self, id: str, path: str = "/v1/push/devices") -> Any:
        return await self._site.http.delete(f"{path}/{id}", headers=self._headers)


def subscription(name: str) -> dict[str, Any]:
    return Browser(ENDPOINT + name).subscription


async def test_a_browser_signs_itself_on_and_off(site: Site) -> None:
    """The same endpoint again is the same device; where it is reached is told to nobody."""
    ben = Person(site, "ben")
    answer = await ben.put({"subscription": subscription("1"), "label": "laptop"})
    assert answer.status_code == 200, answer.text
    again = await ben.put({"subscription": subscription("1"), "label": "my laptop"})
    assert again.json()["id"] == answer.json()["id"]
    [device] = await ben.devices()
    assert (device["kind"], device["label"], device["failures"]) == ("web", "my laptop", 0)
    assert "mozilla" not in str(device)
    assert (await ben.remove(device["id"])).status_code == 204
    assert await ben.devices() == []
    problem(await ben.remove(device["id"]), 404, "not_found")


async def test_an_endpoint_that_was_somebody_elses_moves(site: Site) -> None:
    """Who signs in on a device has it; users of other tenants are other people, on other devices."""
    ben, ann = Person(site, "ben"), Person(site, "ann")
    stranger = Person(site, "ben", tenant="elsewhere")
    for person in (ben, ann, stranger):
        await person.put({"subscription": subscription("1")})
    assert await ben.devices() == []
    [device] = await ann.devices()
    assert len(await stranger.devices()) == 1
    problem(await ben.remove(device["id"]), 404, "not_found")
    assert len(await ann.devices()) == 1


async def test_apps_sign_on_with_their_tokens(site: Site) -> None:
    """FCM's and Apple's; no renewal, which is for service workers."""
    ben = Person(site, "ben")
    answer = await ben.put({"fcm": "cGx:APA91b-token_x"})
    assert answer.json()["renewal"] is None
    await ben.put({"apns": "AB" * 32, "topic": "com.example.app"})
    await ben.put({"apns": "ab" * 32})
    assert sorted(each["kind"] for each in await ben.devices()) == ["apns", "fcm"]


async def test_of_too_many_devices_the_oldest_goes(site: Site) -> None:
    """`limits.push_devices`: somebody who reinstalls every week still gets in."""
    ben = Person(site, "ben")
    for n in range(22):
        site.clock.advance(1)
        await ben.put({"fcm": f"token-{n}", "label": str(n)})
    assert [each["label"] for each in await ben.devices()] == [str(n) for n in range(2, 22)]


STRANGERS = [
    ("https://push.example.com/x", "no known push service"),
    ("https://evil.com#.push.apple.com/x", "no known push service"),
    ("https://push.apple.com.evil.com/x", "no known push service"),
    ("https://xpush.apple.com/x", "no known push service"),
    ("https://127.0.0.1/x", "not a public address"),
    ("http://web.push.apple.com/x", "https://"),
    ("https://user@web.push.apple.com/x", "user or password"),
    ("https://web.push.apple.com:22/x", "port"),
    ("https://web.push.apple.com\\@evil.com/x", ""),
    ("file:///etc/passwd", "https://"),
    ("https://", "host"),
    ("nonsense", ""),
]


async def test_endpoints_of_strangers_are_refused(site: Site) -> None:
    """This server would call them: only known push services, by https, on the usual ports."""
    ben = Person(site, "ben")
    for endpoint, why in STRANGERS:
        body = {"subscription": {**subscription("1"), "endpoint": endpoint}}
        answer = problem(await ben.put(body), 422, "invalid")
        [fault] = answer["errors"]
        assert fault["pointer"] == "/subscription/endpoint", endpoint
        assert why in fault["detail"], endpoint


NO_DEVICES: list[dict[str, Any]] = [
    {},
    {"fcm": "a", "apns": "ab" * 32},
    {"fcm": "a b"},
    {"fcm": ""},
    {"fcm": "x" * 1025},
    {"apns": "not hex at all, is it"},
    {"apns": "../../../etc/passwd"},
    {"fcm": "a", "topic": "com.example"},
    {"fcm": "a", "label": "x" * 101},
    {"fcm": "a", "label": "\0"},
    {"fcm": "a", "more": 1},
    {"subscription": {"endpoint": ENDPOINT}},
    {"subscription": {"endpoint": ENDPOINT, "keys": {"p256dh": "AA", "auth": "AA"}}},
    {"subscription": {"endpoint": ENDPOINT + "x" * 2048, "keys": {"p256dh": "", "auth": ""}}},
]


async def test_what_is_no_device_is_refused(site: Site) -> None:
    """By name, and nothing is kept."""
    ben = Person(site, "ben")
    for body in NO_DEVICES:
        problem(await ben.put(body), 422, "invalid")
        assert await ben.devices() == [], body


async def test_a_worker_renews_what_the_push_service_ended(site: Site) -> None:
    """Without a login: the token stands for that device while it is that user's, and for nothing else."""
    ben, http = Person(site, "ben"), site.http
    put = (await ben.put({"subscription": subscription("1"), "label": "phone"})).json()
    body = {"renewal": put["renewal"], "subscription": subscription("2")}
    answer = await http.post("/v1/push/renewals", json=body)
    assert answer.status_code == 200, answer.text
    [device] = await ben.devices()
    assert device["id"] == answer.json()["id"] != put["id"]
    assert device["label"] == "phone"
    # What was given out for the former one is used up.
    problem(await http.post("/v1/push/renewals", json=body), 404, "not_found")
    latest = answer.json()["renewal"]
    await Person(site, "ann").put({"subscription": subscription("2")})
    moved = {"renewal": latest, "subscription": subscription("3")}
    problem(await http.post("/v1/push/renewals", json=moved), 404, "not_found")
    assert await ben.devices() == []
    for wrong in ("", "x", "a.b", latest + "A", latest.partition(".")[0] + ".AAAA", "é.é"):
        body = {"renewal": wrong, "subscription": subscription("3")}
        problem(await http.post("/v1/push/renewals", json=body), 422, "invalid")


async def test_a_report_is_taken_from_who_holds_its_token(site: Site) -> None:
    """Not with a token for something else; of a message that is no longer known nothing is said."""
    ben, http = Person(site, "ben"), site.http
    put = (await ben.put({"subscription": subscription("1")})).json()
    for wrong in (put["renewal"], "x", "a.b"):
        answer = await http.post("/v1/push/reports", json={"report": wrong, "event": "clicked"})
        problem(answer, 422, "invalid")
    token = site.push.channel._tokens.make("report", "default", "unknown")
    answer = await http.post("/v1/push/reports", json={"report": token, "event": "delivered"})
    assert answer.status_code == 204
    answer = await http.post("/v1/push/reports", json={"report": token, "event": "eaten"})
    problem(answer, 422, "invalid")


async def test_back_ends_manage_the_devices_of_users(site: Site) -> None:
    """With `users:manage`; the user sees the same."""
    admin, ben = Person(site, "boss", "users:manage"), Person(site, "ben")
    path = "/v1/users/ben/push/devices"
    put = (await admin.put({"fcm": "token"}, path)).json()
    assert [each["id"] for each in await ben.devices()] == [put["id"]]
    assert await admin.devices(path) == await ben.devices()
    problem(await admin.remove(put["id"], "/v1/users/ann/push/devices"), 404, "not_found")
    assert (await admin.remove(put["id"], path)).status_code == 204
    assert await ben.devices() == []


async def test_the_worker_may_serve_the_whole_origin(site: Site) -> None:
    """It lies below /v1/push/, and its scope is `/`; the key is public."""
    answer = await site.http.get("/v1/push/worker.js")
    assert answer.headers["service-worker-allowed"] == "/"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert "pushsubscriptionchange" in answer.text
    key = (await site.http.get("/v1/push/key")).json()["key"]
    assert key == site.push.vapid.public_key


async def test_devices_that_nobody_registers_any_more_are_forgotten(site: Site) -> None:
    """After `push.device_days`; registering the same again is a sign of life."""
    ben = Person(site, "ben")
    for name in ("old", "kept"):
        await ben.put({"fcm": name, "label": name})
    site.clock.advance(200 * 86_400)
    await Person(site, "ben").put({"fcm": "kept", "label": "kept"})
    site.clock.advance(100 * 86_400)
    assert [count async for count in site.push.devices.purge()] == [1]
    assert [each["label"] for each in await Person(site, "ben").devices()] == ["kept"]


async def test_a_device_that_nobody_can_read_is_shown_and_can_be_removed(site: Site) -> None:
    """Of former versions: the list says that it is unknown, nothing is sent to it, and the others stay."""
    ben = Person(site, "ben")
    await ben.put({"subscription": subscription("1")})
    for n, data in enumerate(("", "{}", "[]", '{"kind": "fax"}', '{"kind": "web", "auth": 5}')):
        row = NewAddress("default", f"old{n}", "ben", "push", f"x{n}", data, "", 1)
        await site.store.apply(PUT, [row])
    devices = await ben.devices()
    assert sorted(each["kind"] for each in devices) == ["unknown"] * 5 + ["web"]
    assert await site.push.devices.target("default", "ben", "old0") is None
    for each in devices:
        assert (await ben.remove(each["id"])).status_code == 204


async def test_a_device_is_no_address_that_anybody_writes_down(site: Site) -> None:
    """What is put among a person's addresses is of a channel that has some; their list of devices stays readable."""
    admin, ben = Person(site, "boss", "subscribers:write", "users:manage"), Person(site, "ben")
    await site.http.put(
        "/v1/subscribers/ben", json={}, headers=bearer(site.token("boss", "subscribers:write"))
    )
    for channel in ("push", "email", "webhok"):
        answer = await admin.put(
            {"channel": channel, "address": "https://device.example"},
            "/v1/subscribers/ben/addresses",
        )
        assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == "/channel"
    assert await ben.devices() == []
