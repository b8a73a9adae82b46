"""Push messages in real browsers: an unmodified Firefox decrypts and shows them, Chromium's service worker is given them by DevTools.

Chromium subscribes only at Google's own service; Firefox is told by a setting to use ours. Neither needs the internet.
"""

import asyncio
import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from clarion.clock import SystemClock
from tests.support.push_service import PushService
from tests.support.server import Server, running, until

ROOT = Path(__file__).parents[2]
FILES = {
    "/page.html": ROOT / "examples/push/page.html",
    "/worker.js": ROOT / "examples/push/worker.js",
    "/socket.io-client.js": ROOT
    / "clients/node_modules/socket.io-client/dist/socket.io.esm.min.js",
}
# A page that subscribes before Firefox is connected is never answered: this one waits, then goes on to the one in the fragment.
WAITING = "<script>fetch('/greeted').then(() => location.replace(location.hash.slice(1)))</script>"
WORKFLOW = {
    "workflow": "parcel",
    "steps": [
        {
            "id": "phone",
            "push": {
                "title": "Parcel {{ payload.n }} é ✓",
                "body": "{{ payload.text }}",
                "url": "/page.html",
                "tag": "parcel",
                "actions": [{"action": "later", "title": "Later"}],
            },
        },
        {"wait": {"message": "phone", "is": "delivered", "timeout": "5m"}},
        {"inbox": {"title": "shown {{ payload.n }}"}, "if": "phone.delivered"},
        {"wait": "1s"},
        {"inbox": {"title": "clicked {{ payload.n }}"}, "if": "phone.clicked"},
    ],
}


class _Files(http.server.SimpleHTTPRequestHandler):
    """What a bundler would have made one file of; `/greeted` is answered when the browser is connected to the push service."""

    def do_GET(self) -> None:
        if self.path == "/greeted":
            assert self.server.service.greeted.wait(30)  # type: ignore[attr-defined]
        super().do_GET()

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0]
        return str(FILES.get(name, ROOT / "clients/client/dist" / name.removeprefix("/client/")))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pages(service: PushService) -> Iterator[str]:
    handler = functools.partial(_Files, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.service = service  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def service() -> Iterator[PushService]:
    """The push service on a loop of its own."""
    service, ready = PushService(lambda: SystemClock().now_ms() / 1000), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with service.serving():
            ready.set()
            await stop.wait()

    service.loop = loop
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield service
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


class Person:
    """Somebody who has signed in, and what the server says to them."""

    def __init__(self, server: Server, key: str) -> None:
        self._server, self._key = server, key
        self.token = server.register("ann")["access_token"]
        me = server.get("/v1/auth/me", token=self.token).json()
        self.id = me["id"]
        assert server.put("/v1/workflows/parcel", WORKFLOW, token=key).status_code == 200

    def send(self, n: int, text: str = "hello") -> None:
        body = {"workflow": "parcel", "recipients": [self.id], "payload": {"n": n, "text": text}}
        answer = self._server.post("/v1/triggers", body, token=self._key)
        assert answer.status_code == 202, answer.text

    def inbox(self) -> list[str]:
        items = self._server.get("/v1/inbox", token=self.token).json()["items"]
        return [item["title"] for item in items]

    def devices(self) -> list[str]:
        items = self._server.get("/v1/push/devices", token=self.token).json()["items"]
        return [item["id"] for item in items]


@contextlib.contextmanager
def firefox(folder: Path, service: PushService, url: str) -> Iterator[None]:
    """An unmodified Firefox that gets its push messages from a service of ours."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    assert path, "firefox-esr is not installed: tools/system-packages installs it"
    settings = {
        "dom.push.serverURL": f"ws://127.0.0.1:{service.port}/ws",
        "dom.push.testing.allowInsecureServerURL": True,
        "dom.push.testing.ignorePermission": True,
        "dom.push.retryBaseInterval": 100,
        "permissions.default.desktop-notification": 1,
        "dom.webnotifications.requireuserinteraction": False,
        "alerts.useSystemBackend": False,
        "app.normandy.enabled": False,
        "browser.aboutwelcome.enabled": False,
        "browser.shell.checkDefaultBrowser": False,
        "browser.startup.homepage_override.mstone": "ignore",
        "datareporting.policy.dataSubmissionEnabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        "startup.homepage_welcome_url": "about:blank",
        "termsofuse.bypassNotification": True,
        "toolkit.telemetry.enabled": False,
    }
    folder.mkdir()
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in settings.items()]
    (folder / "user.js").write_text("\n".join(lines))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [path, "--headless", "--no-remote", "--profile", str(folder), url],
            stdout=log,
            stderr=log,
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def test_firefox_shows_what_a_workflow_says(
    pages: str, service: PushService, tmp_path: Path
) -> None:
    """From the trigger to the screen and back: encrypted, checked by the push service, decrypted and shown, and reported as delivered.

    Then the push service ends the subscription: the worker subscribes anew by itself, and messages arrive there.
    """
    with running(
        tmp_path,
        CLARION_ALLOWED_ORIGINS=pages,
        CLARION_PUSH_SERVICES="127.0.0.1",
        CLARION_PUSH_NETWORKS="127.0.0.1/32",
        CLARION_PUSH_PORTS=str(service.port),
    ) as server:
        ann = Person(server, server.key("workflows:*", "notifications:send"))
        FILES["/waiting.html"] = tmp_path / "waiting.html"
        FILES["/waiting.html"].write_text(WAITING)
        page = f"/page.html?server={server.url}&token={ann.token}"
        with firefox(tmp_path / "firefox", service, f"{pages}/waiting.html#{page}"):
            [device] = until(ann.devices)
            ann.send(1)
            until(lambda: "shown 1" in ann.inbox())
            ann.send(2, "x" * 3_300)
            until(lambda: "shown 2" in ann.inbox())
            asyncio.run_coroutine_threadsafe(service.forget(), service.loop).result(10)
            until(lambda: ann.devices() not in ([], [device]))
            assert len(ann.devices()) == 1
            ann.send(3)
            until(lambda: "shown 3" in ann.inbox())


def test_chromiums_worker_shows_and_reports(
    chromium: Browser, pages: str, service: PushService, tmp_path: Path
) -> None:
    """Given a payload by DevTools: all that was said is shown, a click is reported, and the same tag takes the former's place."""
    with running(
        tmp_path,
        CLARION_ALLOWED_ORIGINS=pages,
        CLARION_PUSH_SERVICES="127.0.0.1",
        CLARION_PUSH_NETWORKS="127.0.0.1/32",
        CLARION_PUSH_PORTS=str(service.port),
    ) as server:
        ann = Person(server, server.key("workflows:*", "notifications:send"))
        device = service.browser()
        server.post("/v1/push/devices", {"subscription": device.subscription}, token=ann.token)
        context = chromium.new_context()
        context.grant_permissions(["notifications"], origin=pages)
        page = context.new_page()
        tools = context.new_cdp_session(page)
        registrations: list[str] = []
        tools.on(
            "ServiceWorker.workerRegistrationUpdated",
            lambda event: registrations.extend(
                each["registrationId"] for each in event["registrations"]
            ),
        )
        tools.send("ServiceWorker.enable")
        # The page itself would subscribe, for which Chromium needs the internet.
        page.goto(f"{pages}/worker.js")
        page.evaluate(START, server.url)
        shown = "navigator.serviceWorker.ready.then(async (on) => (await on.getNotifications()).map(({ title, body, tag, data, actions }) => ({ title, body, tag, data, actions })))"
        for n in (1, 2):
            ann.send(n)
            until(lambda n=n: len(device.got) == n)  # type: ignore[misc]
            message = device.got[-1]
            tools.send(
                "ServiceWorker.deliverPushMessage",
                {"origin": pages, "registrationId": registrations[0], "data": json.dumps(message)},
            )
            until(lambda n=n: f"shown {n}" in ann.inbox())  # type: ignore[misc]
            [notification] = page.evaluate(shown)
            assert notification["title"] == f"Parcel {n} é ✓"
            assert notification["body"] == "hello"
            assert notification["tag"] == "parcel"
            assert notification["data"] == message
            assert [each["title"] for each in notification["actions"]] == ["Later"]
        [worker] = context.service_workers
        worker.evaluate(CLICK)
        until(lambda: "clicked 2" in ann.inbox())
        assert page.evaluate(shown) == []
        # What is not from here is shown nevertheless, as browsers demand, and nothing is reported.
        tools.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": pages, "registrationId": registrations[0], "data": "not JSON"},
        )
        [foreign] = until(lambda: page.evaluate(shown))
        assert foreign["title"] == "not JSON"
        context.close()


START = """async (server) => {
    const kept = new Response(JSON.stringify({ url: server }));
    await (await caches.open("clarion-push")).put("/clarion-push", kept);
    await navigator.serviceWorker.register(`/worker.js?server=${encodeURIComponent(server)}`);
    await navigator.serviceWorker.ready;
}"""
CLICK = """async () => {
    const [notification] = await self.registration.getNotifications();
    self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
}"""
