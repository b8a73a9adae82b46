"""The page in a real browser, with a real server behind it that gets killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.server import Server, running, until

PASSWORD = "correct horse battery"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, CLARION_LIMITS_LOGIN_TRIES="100") as server:
        for username in ("ann", "ben"):
            server.register(username, PASSWORD)
        yield server


@pytest.fixture
def trouble() -> list[str]:
    """What the pages complained of."""
    return []


def _open(context: BrowserContext, server: Server, trouble: list[str]) -> Page:
    page = context.new_page()
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "console",
        lambda line: trouble.append(line.text) if "Content Security Policy" in line.text else None,
    )
    page.goto(server.url)
    return page


def _sign_in(context: BrowserContext, server: Server, username: str, trouble: list[str]) -> Page:
    page = _open(context, server, trouble)
    page.get_by_test_id("username").fill(username)
    page.get_by_test_id("password").fill(PASSWORD)
    page.get_by_test_id("submit").click()
    _live(page)
    return page


def _live(page: Page) -> None:
    expect(page.get_by_test_id("connection-state")).to_contain_text(
        "live", ignore_case=True, timeout=20_000
    )


def _unread(page: Page, count: int) -> None:
    if count:
        expect(page.get_by_test_id("unread-count")).to_have_text(str(count))
    else:
        expect(page.get_by_test_id("unread-count")).to_have_count(0)


def _item(page: Page, title: str):
    return page.get_by_test_id("inbox-item").filter(has_text=title)


def _notify(server: Server, key: str, title: str, *recipients: str, **more: object) -> None:
    answer = server.post(
        "/v1/notifications", {"recipients": list(recipients), "title": title, **more}, token=key
    )
    assert answer.status_code == 202, answer.text


def test_a_notification_over_http_appears_live_survives_a_crash_and_is_read_once(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """Two people are signed in; what is sent appears at once to whom it is for; read in one tab is read in the other; `kill -9` in between loses nothing."""
    key = server.key("notifications:send")
    anns, bens = chromium.new_context(), chromium.new_context()
    first = _sign_in(anns, server, "ann", trouble)
    second = _sign_in(chromium.new_context(), server, "ann", trouble)
    ben = _sign_in(bens, server, "ben", trouble)

    _notify(server, key, "For ann alone", "ann")
    expect(first.get_by_test_id("toast")).to_contain_text("For ann alone")
    for page in (first, second):
        _unread(page, 1)
        expect(_item(page, "For ann alone")).to_have_count(1)
    _unread(ben, 0)

    server.kill()
    expect(first.get_by_test_id("connection-state")).to_contain_text(
        "reconnecting", ignore_case=True
    )
    server.start()
    _notify(
        server, key, "While they were away", "ann", "ben"
    )  # stored whether or not they are back yet
    for page in (first, second, ben):
        _live(page)
        expect(_item(page, "While they were away")).to_have_count(1)
    _unread(first, 2)
    _unread(second, 2)
    _unread(ben, 1)

    _item(first, "For ann alone").get_by_test_id("mark-read").click()
    _unread(first, 1)
    _unread(second, 1)
    first.get_by_test_id("mark-all-read").click()
    _unread(first, 0)
    _unread(second, 0)
    _unread(ben, 1)

    second.reload()
    _live(second)
    _unread(second, 0)
    expect(second.get_by_test_id("inbox-item")).to_have_count(2)
    assert trouble == []


def test_what_is_done_in_one_tab_is_done_in_the_other(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """A button that is pressed says so in both, and cannot be pressed again; pinned is on top, snoozed is gone, and can be undone; by keyboard."""
    key = server.key("notifications:send")
    context = chromium.new_context()
    first = _sign_in(context, server, "ann", trouble)
    second = _sign_in(chromium.new_context(), server, "ann", trouble)
    buttons = [{"id": "yes", "label": "Accept"}, {"id": "no", "label": "Decline"}]
    _notify(server, key, "An invitation", "ann", actions=buttons, expires="2h")
    _notify(server, key, "Something later", "ann")
    invitation = _item(first, "An invitation")
    expect(invitation.get_by_test_id("expires")).to_have_text("Expires in 2 hr.")
    group = invitation.get_by_role("group", name="Answers to: An invitation")
    group.get_by_role("button", name="Accept").press("Enter")
    for page in (first, second):
        expect(_item(page, "An invitation").get_by_test_id("done")).to_have_text("Answered: Accept")
        expect(_item(page, "An invitation").get_by_test_id("press-no")).to_have_count(0)
        _unread(page, 1)
    expect(invitation).to_be_focused()

    invitation.get_by_role("button", name="Pin: An invitation").press("Enter")
    for page in (first, second):
        expect(page.get_by_test_id("inbox-item").first).to_contain_text("Pinned")

    later = _item(first, "Something later").get_by_role("button", name="Snooze: Something later")
    later.press("Enter")
    expect(first.get_by_role("button", name="In an hour")).to_be_focused()
    first.keyboard.press("Escape")
    expect(later).to_be_focused()
    later.press("Enter")
    first.keyboard.press("Enter")
    for page in (first, second):
        expect(_item(page, "Something later")).to_have_count(0)
        _unread(page, 0)
    second.get_by_role("button", name="Snoozed notifications").press("Enter")
    expect(second.get_by_test_id("snoozed-item")).to_contain_text("Something later")
    first.get_by_test_id("undo").press("Enter")
    expect(second.get_by_test_id("snoozed-item")).to_have_count(0)
    second.get_by_role("button", name="Snoozed notifications").press("Enter")
    for page in (first, second):
        expect(_item(page, "Something later")).to_have_count(1)
        _unread(page, 1)
    assert trouble == []


def test_a_wrong_password_is_said_and_nothing_else_happens(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """The form stays, with a message that a screen reader announces."""
    page = _open(chromium.new_context(), server, trouble)
    page.get_by_test_id("username").fill("ann")
    page.get_by_test_id("password").fill("not the password")
    page.get_by_test_id("submit").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_test_id("submit")).to_be_enabled()


def test_a_person_may_send_from_the_page_if_allowed_and_is_told_if_not(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """An ordinary account may not send: the page says so; a demo account may."""
    page = _sign_in(chromium.new_context(), server, "ann", trouble)
    page.get_by_test_id("to").fill("ben")
    page.get_by_test_id("title").fill("Hello")
    page.get_by_test_id("send").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_the_page_is_usable_by_keyboard_alone(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """Sign in, open the inbox, mark all as read, close it with Escape: no mouse."""
    key = server.key("notifications:send")
    page = _open(chromium.new_context(), server, trouble)
    page.get_by_test_id("username").focus()
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    _live(page)
    _notify(server, key, "By keyboard", "ann")
    _unread(page, 1)
    bell = page.get_by_test_id("bell")
    expect(bell).to_have_attribute("aria-label", "Notifications, 1 unread")


def test_the_page_fits_a_narrow_screen(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """At 360 pixels nothing has to be scrolled sideways."""
    context = chromium.new_context(viewport={"width": 360, "height": 740})
    page = _sign_in(context, server, "ann", trouble)
    key = server.key("notifications:send")
    _notify(server, key, "A rather long title " * 8, "ann")
    _unread(page, 1)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360


def test_what_is_on_the_screen_is_seen_and_a_page_that_nobody_is_at_is_idle(
    chromium: Browser, server: Server, trouble: list[str]
) -> None:
    """The browser itself says what is on the screen; in the background nothing is seen, and who has no other page is idle, so that they get a push."""
    key = server.key("notifications:send", "presence:read")
    token = server.post(
        "/v1/auth/login", {"username": "ann", "password": PASSWORD}
    ).json()["access_token"]  # fmt: skip

    def unseen() -> int:
        return server.get("/v1/inbox", token=token).json()["unseen"]

    def status() -> str:
        answer = server.post("/v1/presence/status", {"users": ["ann"]}, token=key)
        return answer.json()["items"][0]["status"]

    page = _sign_in(chromium.new_context(), server, "ann", trouble)
    until(lambda: status() == "online")
    _notify(server, key, "Look", "ann")
    expect(_item(page, "Look")).to_have_count(1)
    until(lambda: unseen() == 0)
    _turn(page, "hidden")
    until(lambda: status() == "idle")
    _notify(server, key, "Behind", "ann")
    expect(_item(page, "Behind")).to_have_count(1)
    page.wait_for_timeout(1_500)  # it is seen after 0.8 s, if it is
    assert unseen() == 1
    _turn(page, "visible")
    until(lambda: status() == "online" and unseen() == 0)
    assert trouble == []


def _turn(page: Page, state: str) -> None:
    """The page goes to the background, or comes to the front: a browser without a screen shows every page at once."""
    page.evaluate(
        """state => {
          Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )
