"""The doors of preferences: people for themselves, back ends for subscribers, and links that need no login."""

import re
from typing import Any

import httpx
import msgspec
import pytest

from clarion.auth import system
from clarion.client import ApiError, AsyncClient
from clarion.clock import as_datetime
from clarion.notifications.preferences.document import Document, Muted
from clarion.notifications.preferences.links import PAGE_S, Links
from clarion.notifications.workflows.definition import Definition
from tests.api.conftest import Site, bearer, problem

OWN = "/v1/preferences"


class Caller:
    """Somebody who calls, in one line."""

    def __init__(self, site: Site, credential: str) -> None:
        self._http, self._headers = site.http, bearer(credential)

    async def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._http.request(
            method, path, json=body, headers={**self._headers, **sent}
        )  # fmt: skip


@pytest.fixture
async def ann(site: Site) -> Caller:
    """A subscriber, and a workflow that writes emails to her."""
    await site.notify("ann")
    mail = {"id": "mail", "email": {"subject": "News", "text": "news"}}
    for key, more in (("news", {"category": "marketing"}), ("reset", {"critical": True})):
        given = {"workflow": key, "name": f"The {key}", "steps": [mail], **more}
        await site.workflows.catalog.put(system("tests"), msgspec.convert(given, Definition))
    return Caller(site, site.token("ann"))


async def test_a_person_changes_what_they_want(ann: Caller) -> None:
    """Put, patched and taken back; each answer's tag is the revision, and a change of what was not read is refused."""
    empty = await ann("GET", OWN)
    assert (empty.json(), empty.headers["etag"]) == ({"document": {}, "revision": 0}, '"0"')
    put = await ann("PUT", OWN, {"channels": {"push": False}}, if_match='"0"')
    assert (put.status_code, put.headers["etag"]) == (200, '"1"')
    problem(await ann("PUT", OWN, {}, if_match='"0"'), 412, "stale")
    problem(await ann("PATCH", OWN, {}, if_match='W/"1"'), 412, "stale")
    patch = {
        "categories": {"marketing": {"email": False}},
        "holidays": ["2026-12-25"],
        "paused_until": "2026-12-01T00:00:00Z",
    }
    found = await ann("PATCH", OWN, patch, if_match='"1"')
    assert found.json() == {"document": {"channels": {"push": False}, **patch}, "revision": 2}
    back = {"categories": {"marketing": {"email": None}}, "paused_until": None, "holidays": None}
    found = await ann("PATCH", OWN, back)
    assert found.json()["document"] == {
        "channels": {"push": False},
        "categories": {"marketing": {}},
    }
    assert (await ann("GET", OWN, if_none_match='"3"')).status_code == 304
    assert (await ann("PATCH", OWN, {})).json()["revision"] == 3
    thread = {"path": "payload.thread", "value": "t-17"}
    muted = (await ann("POST", f"{OWN}/mute", thread)).json()
    assert muted["document"]["muted"] == [{**thread, "until": None}]
    assert "muted" not in (await ann("POST", f"{OWN}/unmute", thread)).json()["document"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"channels": {"push": 7}}, "/channels"),
        ({"channels": {"push": "payload."}}, "/channels/push"),
        ({"chanels": {}}, ""),
        ({"quiet": [{"from": "22:00", "to": "25:00"}]}, "/quiet/0/to"),
        ({"quiet": [{"from": "00:00", "to": "00:00"}]}, "/quiet"),
        ({"time_zone": "Europe/Atlantis"}, "/time_zone"),
        ({"paused_until": "2026-12-01T00:00:00"}, "/paused_until"),
        ({"paused_until": "2020-01-01T00:00:00Z"}, "/paused_until"),
        (
            {"muted": [{"path": "payload.n", "value": 1, "until": "2020-01-01T00:00:00Z"}]},
            "/muted/0/until",
        ),
        ({"holidays": ["2026-02-30"]}, "/holidays/0"),
        ({"muted": [{"path": "recipient.id", "value": 1}]}, "/muted/0/path"),
    ],
)
async def test_what_could_not_be_obeyed_is_not_kept(ann: Caller, body: Any, where: str) -> None:
    """The answer points at it, of a whole document as of a patch."""
    for method in ("PUT", "PATCH"):
        found = problem(await ann(method, OWN, body), 422, "invalid")
        assert [each["pointer"][: len(where)] for each in found["errors"]] == [where]
    assert (await ann("GET", OWN)).json()["revision"] == 0


async def test_what_runs_out_stays_as_it_was_said(site: Site, ann: Caller) -> None:
    """A pause or a mute that is over is refused where it is new, and no hindrance where it is given back with the rest."""
    soon = as_datetime(site.clock.now_ms() + 60_000).isoformat()
    thread = {"path": "payload.thread", "value": "t", "until": soon}
    document: dict[str, Any] = {"paused_until": soon, "muted": [thread]}
    assert (await ann("PUT", OWN, document)).status_code == 200
    site.clock.advance(61)
    document["channels"] = {"push": False}
    assert (await ann("PUT", OWN, document)).status_code == 200
    assert (await ann("PATCH", OWN, {"channels": {"push": True}})).status_code == 200
    found = problem(await ann("POST", f"{OWN}/mute", thread), 422, "invalid")
    assert [each["pointer"] for each in found["errors"]] == ["/until"]


async def test_back_ends_speak_for_subscribers(site: Site, ann: Caller) -> None:
    """For those who are known, and of their own tenant."""
    app = Caller(site, await site.key("subscribers:*", "workflows:*"))
    at = "/v1/subscribers/ann/preferences"
    assert (await app("PUT", at, {"channels": {"email": False}})).status_code == 200
    assert (await ann("GET", OWN)).json()["document"] == {"channels": {"email": False}}
    assert (await app("PATCH", at, {"channels": None})).json()["document"] == {}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {}),
        ("PATCH", "", {}),
        ("GET", "/overview", None),
        ("POST", "/link", {}),
    ):
        problem(await app(method, f"/v1/subscribers/ben/preferences{path}", body), 404, "not_found")
    other = Caller(site, site.token("eve", "subscribers:*", tenant="other"))
    problem(await other("GET", at), 404, "not_found")
    problem(await ann("GET", at), 403, "forbidden")


async def test_what_holds_for_all_and_what_holds_for_one(site: Site, ann: Caller) -> None:
    """The deployment's word stands in the overview with who said it, and a message can be explained by it."""
    app = Caller(site, await site.key("subscribers:*", "workflows:*"))
    defaults = f"{OWN}/defaults"
    said = {"categories": {"marketing": {"email": False}}, "required": ["security"]}
    put = await app("PUT", defaults, said, if_match='"0"')
    assert (put.status_code, put.headers["etag"]) == (200, '"1"')
    problem(await app("PUT", defaults, {}, if_match='"0"'), 412, "stale")
    problem(await app("PUT", defaults, {"caps": [{"channel": "push", "limit": 1, "per": "soon"}]}), 422, "invalid")  # fmt: skip
    assert (await app("GET", defaults)).json() == {"document": said, "revision": 1}
    overview = (await ann("GET", f"{OWN}/overview")).json()
    rows = {row["key"]: row for row in overview["items"]}
    assert rows["reset"]["locked"]
    [cell] = rows["news"]["channels"]
    assert (cell["wanted"], cell["source"]) == (False, "deployment:/categories/marketing/email")
    asked = f"{OWN}/explain?channel=email&workflow=news&payload=%7B%22n%22%3A1%7D"
    found = (await ann("GET", asked)).json()
    assert (found["verdict"], found["why"]) == ("skip", "no address")
    ben = await app("GET", "/v1/subscribers/ben/preferences/explain?channel=inbox&category=x")
    assert ben.json()["why"] == "there is no such subscriber"
    for wrong in ("channel=fax", "channel=email&workflow=gone", "channel=email&payload=%7B", "channel=email&payload=1", "channel=email&x=1"):  # fmt: skip
        problem(await ann("GET", f"{OWN}/explain?{wrong}"), 422, "invalid")


async def test_the_sdk_speaks_of_preferences(site: Site, ann: Caller) -> None:
    """Of a subscriber and of the deployment, with the revision that was read."""
    key = await site.key("subscribers:*", "workflows:*")
    async with AsyncClient(app=site.app, key=key) as clarion:
        defaults = await clarion.put_preference_defaults({"required": ["security"]}, revision=0)
        assert await clarion.preference_defaults() == defaults
        await clarion.put_preferences("ann", {"categories": {"marketing": False}}, revision=0)
        with pytest.raises(ApiError) as stale:
            await clarion.put_preferences("ann", {}, revision=0)
        assert stale.value.code == "stale"
        await clarion.mute("ann", "payload.thread", 1, until="2030-01-01T00:00:00Z")
        found = await clarion.explain_preferences(
            "ann", "inbox", category="x", payload={"thread": 1}
        )
        assert found["why"].startswith("muted: payload.thread until 2030")
        await clarion.unmute("ann", "payload.thread", 1)
        kept = await clarion.change_preferences("ann", {"categories": None}, revision=3)
        assert (kept.document, await clarion.preferences("ann")) == ({}, kept)
        assert (await clarion.preference_overview("ann"))["revision"] == 4
        assert "/preferences/" in (await clarion.preference_link("ann", good_s=60)).url


async def wanted(site: Site) -> Document:
    return (await site.book.find("default", "ann")).document


async def test_one_click_unsubscribes(site: Site, ann: Caller) -> None:
    """As mail readers send it (RFC 8058): either kind of form, no credential. Looking changes nothing, twice is as once, and it can be undone."""
    link = site.workflows.links.unsubscribe("default", "ann", "email", category="marketing")
    page = await site.http.get(link)
    assert "<strong>Marketing</strong> by email" in page.text
    assert 'method="post"' in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert await wanted(site) == Document()
    by_one_kind = await site.http.post(link, data={"List-Unsubscribe": "One-Click"})
    done = await site.http.post(link, files={"List-Unsubscribe": (None, "One-Click")})
    assert (by_one_kind.status_code, done.status_code) == (200, 200)
    assert "You are unsubscribed" in done.text
    assert (await wanted(site)).categories == {"marketing": {"email": False}}
    assert (await site.book.find("default", "ann")).revision == 1
    assert "You get no more" in (await site.http.get(link)).text
    action = re.search(r'action="((?:\.\./)+)([^"]+)"', done.text)
    assert action is not None
    undone = await site.http.post(f"/{action[2]}")
    assert "Unsubscribe?" in undone.text
    assert await wanted(site) == Document()


CONDITION = {"email": "payload.urgent", "push": False}
KEPT = {"workflows": {"w": {"email": True}}, "channels": {"email": False}}
OFF = {"channels": {"email": False}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"categories": {"news": "payload.urgent"}}, {"categories": {"news": {"*": "payload.urgent"}}}),
        ({"categories": {"news": CONDITION}}, {"categories": {"news": CONDITION}}),
        (KEPT, KEPT),
        (OFF, {**OFF, "categories": {"news": {"email": True}}}),
    ],
)  # fmt: skip
async def test_undoing_brings_back_what_was_said(
    site: Site, ann: Caller, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """A condition, a word about the workflow; what was not wanted before the click is wanted after it was undone."""
    await site.book.change("default", "ann", lambda _: msgspec.convert(before, Document))
    link = site.workflows.links.unsubscribe("default", "ann", "email", category="news", workflow="w")  # fmt: skip
    page = (await site.http.post(link)).text
    assert "You get no more" in page
    [action] = re.findall(r'action="(?:\.\./)+([^"]+)"', page)
    for _ in range(2):
        assert "Unsubscribe?" in (await site.http.post(f"/{action}")).text
        assert await wanted(site) == msgspec.convert(after, Document)


async def test_links_that_lead_nowhere(site: Site, ann: Caller) -> None:
    """Forged, cut, of another server, of somebody else's tenant, for another door, or of somebody who was erased: nothing changes."""
    links = site.workflows.links
    link = links.unsubscribe("default", "ann", "email", workflow="news")
    head, mark = link.rsplit(".", 1)
    other_tenant = links.unsubscribe("other", "ann", "email", workflow="news")
    forged = f"{other_tenant.rsplit('.', 1)[0]}.{mark}"
    wrong = [head, f"{head}.", f"{head}.{mark[:-2]}AA", forged, f"{link}x", "/v1/unsubscribe/" + "a" * 5_000]  # fmt: skip
    wrong += [
        Links("another secret", "", clock=site.clock).unsubscribe("default", "ann", "email", workflow="news"),
        links.page("default", "ann").replace("/preferences/", "/v1/unsubscribe/"),
        other_tenant,
        links.unsubscribe("default", "nobody", "email", workflow="news"),
    ]  # fmt: skip
    for each in wrong:
        for method, path in (("GET", each), ("POST", each), ("POST", f"{each}/undo")):
            problem(await site.http.request(method, path), 404, "not_found")
            page = await site.http.request(method, path, headers={"accept": "text/html, */*"})
            assert (page.status_code, "<p>This link " in page.text) == (404, True)
    reset = links.unsubscribe("default", "ann", "email", workflow="reset")
    assert "whatever you choose" in (await site.http.get(reset)).text
    problem(await site.http.post(reset), 409, "conflict")
    page = await site.http.post(reset, headers={"accept": "text/html, */*"})
    assert (page.status_code, "cannot be turned off" in page.text) == (409, True)
    assert "'none'" in page.headers["content-security-policy"]
    assert await wanted(site) == Document()
    await site.workflows.people.erase("default", "ann")
    problem(await site.http.post(link), 404, "not_found")


class Browser:
    """A person who has a link to their page."""

    def __init__(self, site: Site, url: str) -> None:
        self._site, self.url, self.text = site, url, ""

    async def open(self) -> "Browser":
        self.text = (await self._site.http.get(self.url)).text
        return self

    async def press(self, **fields: str) -> httpx.Response:
        answer = await self._site.http.post(self.url, data=fields)
        if answer.status_code == 303:
            await self.open()
        return answer

    def buttons(self) -> list[str]:
        """The values of the buttons of the table that are pressed."""
        return re.findall(r'name="set" value="([^"]+)" aria-pressed="true"', self.text)


@pytest.fixture
async def browser(site: Site, ann: Caller) -> Browser:
    link = (await ann("POST", f"{OWN}/link", {})).json()
    return await Browser(site, link["url"]).open()


async def test_a_page_needs_no_login_and_no_script(site: Site, browser: Browser) -> None:
    """Everything can be chosen by pressing buttons; the answer leads back to where one was, and nothing of it is kept by caches."""
    assert "<script" not in browser.text
    assert "The reset" in browser.text
    assert "always on" in browser.text
    assert "workflow|email|off|news" in browser.buttons()
    done = await browser.press(set="workflow|email|off|news")
    assert done.headers["location"].endswith("#what")
    assert done.headers["cache-control"] == "no-store"
    assert "workflow|email|off|news" not in browser.buttons()
    await browser.press(set="category|email|off|marketing")
    await browser.press(set="channel|email|off|")
    assert browser.buttons() == []
    await browser.press(set="channel|email|on|")
    await browser.press(pause="week")
    await browser.press(quiet="save", begins="22:00", ends="07:00")
    await browser.press(holiday="add", day="2026-12-25")
    await browser.press(holiday="add", day="2026-12-24")
    await browser.press(workday="2026-12-24")
    await site.workflows.desk.mute("default", "ann", Muted("payload.thread", '<t "1">'))
    await browser.open()
    assert "thread &lt;t &quot;1&quot;&gt;" in browser.text
    kept = msgspec.to_builtins(await wanted(site))
    assert kept["quiet"] == [{"from": "22:00", "to": "07:00", "days": None}]
    assert kept["holidays"] == ["2026-12-25"]
    assert kept["channels"] == {"email": True}
    assert kept["workflows"]["news"] == {"email": False}
    assert "Paused until" in browser.text
    await browser.press(unmute='["payload.thread", "<t \\"1\\">"]')
    await browser.press(pause="end")
    await browser.press(quiet="default")
    kept = msgspec.to_builtins(await wanted(site))
    assert not {"muted", "paused_until", "quiet"} & kept.keys()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"set": "workflow|email|perhaps|news"},
        {"set": "workflow|email"},
        {"set": f"workflow|{'x' * 65}|off|news"},
        {"set": f"workflow|email|off|{'x' * 65}"},
        {"pause": "until", "until": "2020-01-01"},
        {"pause": "until", "until": "9999-12-31"},
        {"pause": "until", "until": "soon"},
        {"quiet": "save", "begins": "22:00", "ends": "25:00"},
        {"quiet": "save", "begins": "22:00", "ends": "22:00"},
        {"holiday": "add", "day": "2026-02-30"},
        {"unmute": "[1]"},
    ],
)
async def test_what_the_page_does_not_offer(
    site: Site, browser: Browser, fields: dict[str, str]
) -> None:
    """The page is shown once more, with what is wrong; nothing changes."""
    answer = await browser.press(**fields)
    assert (answer.status_code, "Nothing was changed" in answer.text) == (422, True)
    assert await wanted(site) == Document()


async def test_channels_stand_in_one_order(site: Site, browser: Browser) -> None:
    """In each row of the page as in the first, whatever the order in which they were added."""
    steps = [{"webhook": {"event": "order", "data": {}}}, {"sms": {"text": "order"}}]
    order = {"workflow": "order", "category": "orders", "steps": steps}
    await site.workflows.catalog.put(system("tests"), msgspec.convert(order, Definition))
    rows = (await browser.open()).text.split('class="row')[1:]
    shown = [re.findall(r'value="\w+\|(\w+)\|off', row) for row in rows]
    assert ["sms", "webhook"] in shown
    assert all(each == [name for name in shown[0] if name in each] for each in shown)


async def test_the_page_shows_a_word_on_all_channels(ann: Caller, browser: Browser) -> None:
    """As it is obeyed: nothing is on but what is named."""
    await ann("PUT", OWN, {"channels": {"*": False}})
    assert (await browser.open()).buttons() == []
    await browser.press(set="channel|email|on|")
    assert "channel|email|off|" in browser.buttons()


async def test_a_page_is_one_persons_and_for_a_while(site: Site, browser: Browser) -> None:
    """Forged, of another tenant, a link to unsubscribe, too old, of somebody who was erased: a page says so, and nothing changes."""
    links = site.workflows.links
    out = links.unsubscribe("default", "ann", "email", workflow="news")
    wrong = [
        browser.url[:-2] + "AA",
        browser.url.partition(".")[0],
        links.page("other", "ann"),
        links.page("default", "nobody"),
        out.replace("/v1/unsubscribe/", "/preferences/"),
    ]
    for each in wrong:
        for method in ("GET", "POST"):
            found = await site.http.request(
                method, each, data={"pause": "day"}, headers={"accept": "text/html"}
            )
            assert (found.status_code, "<h1>There is no such thing" in found.text) == (404, True)
    problem(await site.http.post(browser.url, json={"pause": "day"}), 415, "unsupported_media_type")
    problem(await site.http.post(browser.url, data={"nothing": "1"}), 422, "invalid")
    site.clock.advance(PAGE_S)
    assert (await browser.press(pause="day")).status_code == 404
    assert await wanted(site) == Document()
