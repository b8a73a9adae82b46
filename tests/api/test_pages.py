"""Pages: the built front end, the documentation, a page for each error. They work without any network and run nothing inline."""

import gzip
import re
from pathlib import Path

import pytest

from clarion.api.pages import docs
from clarion.api.problem import wire_errors
from clarion.settings import AdminUi
from tests.api.conftest import Site, opened, problem

SCRIPT = b"console.log('built')" * 100


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A build as Vite leaves it."""
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / ".build-hash").write_text("for the build alone")
    (folder / "index.html").write_text("<!doctype html><title>Clarion</title>")
    (folder / "favicon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    script = folder / "assets" / "index-4fe1.js"
    script.write_bytes(SCRIPT)
    script.with_name("index-4fe1.js.gz").write_bytes(gzip.compress(SCRIPT))
    script.with_name("index-4fe1.js.br").write_bytes(b"as brotli")
    script.with_name("index-4fe1.js.map").write_text("{}")
    return folder


async def test_the_page_is_asked_for_again_each_time(tmp_path: Path, web: Path) -> None:
    """`no-cache` and an ETag: a new build is seen at once, an old one costs 304. Its policy lets nothing foreign in."""
    async with opened(tmp_path, web=web) as site:
        page = await site.http.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-cache"
        policy = page.headers["content-security-policy"]
        for part in (
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ):
            assert part in policy
        assert "unsafe" not in policy
        again = await site.http.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_what_is_named_by_its_content_is_kept_for_good(tmp_path: Path, web: Path) -> None:
    """`immutable`, and the types that nosniff wants."""
    async with opened(tmp_path, web=web) as site:
        script = await site.http.get(
            "/assets/index-4fe1.js", headers={"accept-encoding": "identity"}
        )
        assert script.content == SCRIPT
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
        icon = await site.http.get("/favicon.svg")
        assert (icon.headers["content-type"], icon.headers["cache-control"]) == (
            "image/svg+xml",
            "no-cache",
        )


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.0, GZIP;q=0.5", "gzip"),
        ("identity", None),
        ("*", None),
        ("", None),
    ],
)
async def test_the_smallest_form_that_is_taken_is_sent(
    tmp_path: Path, web: Path, accepted: str, coding: str | None
) -> None:
    """Forms are told apart for caches, by Vary and by the ETag."""
    async with opened(tmp_path, web=web) as site:
        request = site.http.build_request(
            "GET", "/assets/index-4fe1.js", headers={"accept-encoding": accepted}
        )
        answer = await site.http.send(request, stream=True)
        body = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers.get("content-encoding") == coding
        assert answer.headers["vary"] == "accept-encoding"
        assert (coding or '"') in answer.headers["etag"]
        assert int(answer.headers["content-length"]) == len(body)


@pytest.mark.parametrize(
    "path",
    [
        "/assets/index-4fe1.js.map",
        "/assets/index-4fe1.js.gz",
        "/index.html",
        "/assets",
        "/..%2fsecret",
        "/assets/..%2f..%2fsecret",
        "/web/index.html",
        "/.build-hash",
    ],
)
async def test_only_what_was_built_is_there(tmp_path: Path, web: Path, path: str) -> None:
    """No maps, no folders, no way out: each file has a door, and there are no other doors."""
    (tmp_path / "secret").write_text("secret")
    async with opened(tmp_path, web=web) as site:
        problem(await site.http.get(path), 404, "not_found")


async def test_without_a_build_the_page_says_what_to_do(site: Site) -> None:
    """503 and one sentence; the API works."""
    page = await site.http.get("/")
    assert page.status_code == 503
    assert "make build" in page.text
    assert (await site.http.get("/docs")).status_code == 200


async def test_the_documentation_needs_nothing_from_elsewhere(site: Site) -> None:
    """Everything that the page loads is served here, and nothing in it runs or styles inline."""
    page = await site.http.get("/docs")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert sorted(set(loaded)) == ["data:,", "docs/docs.css", "docs/docs.js", "openapi.json"]
    for path in set(loaded) - {"data:,"}:
        assert (await site.http.get("/" + path)).status_code == 200
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", page.text)
    folder = Path(docs.__file__).parent
    for file in ("docs.html", "docs.css", "docs.js"):
        assert "://" not in (folder / file).read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(",
        (folder / "docs.js").read_text(),
    )


@pytest.mark.parametrize("code", [error.code for error in wire_errors()])
async def test_the_type_of_every_problem_is_a_page(site: Site, code: str) -> None:
    """`/errors/<code>` says what it means and whether trying again helps."""
    page = await site.http.get(f"/errors/{code}")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert f"<h1><code>{code}</code></h1>" in page.text
    assert "What to do" in page.text
    assert "`" not in page.text


async def test_an_error_that_does_not_exist_has_no_page(site: Site) -> None:
    """And what was asked for is not shown back."""
    answer = await site.http.get("/errors/<script>")
    problem(answer, 404, "not_found")
    assert "script" not in answer.text


async def test_the_admin_page_is_there_only_where_it_is_asked_for(
    tmp_path: Path, web: Path
) -> None:
    """Without a password none of its files; with one the page, told its server's path and namespace, and every file of it."""
    folder = web / "admin-ui"
    (folder / "js").mkdir(parents=True)
    page = '<script src="preset.js" data-path="" data-namespace=""></script>'
    (folder / "index.html").write_text(page)
    (folder / "js" / "app.0d7d.js").write_bytes(SCRIPT)
    (folder / "icons.woff2").write_bytes(b"font")
    paths = ("/ops/", "/ops", "/ops/js/app.0d7d.js", "/ops/icons.woff2")
    async with opened(tmp_path, web=web, admin_ui=AdminUi(path="/ops/")) as site:
        for path in (*paths, "/admin-ui/index.html", "/admin-ui/js/app.0d7d.js"):
            problem(await site.http.get(path), 404, "not_found")
    on = AdminUi(password="correct horse", path="/ops/", namespace='/a"b')
    async with opened(tmp_path, web=web, admin_ui=on) as site:
        answer = await site.http.get("/ops/")
        assert 'data-path="../socket.io/" data-namespace="/a&quot;b"' in answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "https:" not in policy
        moved = await site.http.get("/ops")
        assert (moved.status_code, moved.headers["location"]) == (308, "ops/")
        script = await site.http.get(paths[2])
        assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
        font = await site.http.get(paths[3])
        assert font.headers["content-type"] == "font/woff2"
        problem(await site.http.get("/admin-ui/js/app.0d7d.js"), 404, "not_found")


async def test_an_admin_page_that_was_not_built_is_not_there(tmp_path: Path) -> None:
    """The server works without it, and says so in the log."""
    async with opened(tmp_path, admin_ui=AdminUi(password="correct horse")) as site:
        problem(await site.http.get("/admin/"), 404, "not_found")


async def test_a_person_is_told_of_an_error_on_a_page(site: Site) -> None:
    """Whose browser opened an address: the same status and words, and what is echoed is text. Programs, and scripts of pages, get the document."""
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for path, status, code, up in (
        ("/nothing", 404, "not_found", ""),
        ("/v1/keys", 401, "unauthenticated", "../"),
        ("/unsubscribe/a/b", 404, "not_found", "../../"),
        ("/preferences/" + "a" * 6_000, 404, "not_found", "../"),
    ):
        told = problem(await site.http.get(path, headers={"accept": "*/*"}), status, code)
        page = await site.http.get(path, headers=browser)
        assert (page.status_code, page.headers["content-type"]) == (
            status,
            "text/html; charset=utf-8",
        )
        assert told["title"] in page.text
        assert f'href="{up}plain.css"' in page.text
        assert (await site.http.get(f"/errors/{code}")).status_code == 200
        assert f'href="{up}errors/{code}"' in page.text
        assert page.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
        assert "script-src" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
    assert "<b>" not in (await site.http.request("<b>", "/v1/keys", headers=browser)).text
