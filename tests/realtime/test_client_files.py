"""The official client, served by the server."""

import gzip
import json
from pathlib import Path

import pytest

from clarion.realtime.client_files import NAMES, ClientFiles
from clarion.settings import Realtime
from tests.support.raw_socketio import QUERY, Wire, wired

DIST = Path(__file__).parents[2] / "clients/node_modules/socket.io-client/dist"


def served(wire: Wire) -> Wire:
    """With the files as npm has them."""
    wire.io.client_files = ClientFiles(DIST)
    return wire


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_the_clients_files_are_served(name):
    """The eight files of Node's server, as scripts and JSON, to be asked for each time."""
    async with wired() as wire:
        answer = await served(wire).ask("GET", f"/socket.io/{name}?v=1".encode())
        assert answer.status == 200
        assert answer.body == (DIST / name).read_bytes()
        kind = "json" if name.endswith(".map") else "javascript"
        assert answer.headers["content-type"] == f"application/{kind}; charset=utf-8"
        assert answer.headers["cache-control"] == "public, max-age=0"


async def test_a_browser_that_has_it_is_told_so():
    """304 for the same version, weak or in a list; each coding is a version of its own; HEAD has no body."""
    async with wired() as wire:
        path = b"/socket.io/socket.io.min.js"
        plain = await served(wire).ask("GET", path)
        etag = plain.headers["etag"]
        for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await wire.ask("GET", path, headers=f"If-None-Match: {asked}\r\n".encode())
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        other = await wire.ask("GET", path, headers=b'If-None-Match: "other"\r\n')
        assert other.status == 200
        packed = await wire.ask("GET", path, headers=b"Accept-Encoding: gzip, deflate\r\n")
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["etag"] != etag
        assert "Accept-Encoding" in packed.headers["vary"]
        assert gzip.decompress(packed.body) == plain.body
        head = await wire.ask("HEAD", path)
        assert (head.status, head.body, head.headers["etag"]) == (200, b"", etag)
        assert head.headers["content-length"] == str(len(plain.body))


async def test_pages_of_allowed_origins_may_load_it_as_a_module():
    """CORS is that of the endpoint."""
    async with wired(allowed_origins=["https://app.example"]) as wire:
        origin = b"Origin: https://app.example\r\n"
        answer = await served(wire).ask("GET", b"/socket.io/socket.io.esm.min.js", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_other_names_and_methods_are_the_endpoints():
    """What is no file of the client falls through to Engine.IO and its table."""
    async with wired() as wire:
        answer = await served(wire).ask("GET", b"/socket.io/socket.io.evil.js")
        assert json.loads(answer.body)["code"] == 0
        assert (await wire.ask("POST", b"/socket.io/socket.io.js")).status == 400


async def test_it_can_be_off_or_missing(tmp_path):
    """Off, the names mean nothing; a build without the files answers 404, and the log says what to do."""
    async with wired(Realtime(serve_client=False)) as wire:
        answer = await wire.ask("GET", b"/socket.io/socket.io.js")
        assert json.loads(answer.body)["code"] == 0
    async with wired() as wire:
        wire.io.client_files = ClientFiles(tmp_path)
        assert not wire.io.client_files.are_there
        assert (await wire.ask("GET", b"/socket.io/socket.io.js")).status == 404
        assert (await wire.ask("GET", QUERY + b"polling")).status == 200
