"""Binding sockets, and what is told when that can't be."""

import socket
import sys

import pytest

from clarion.clock import SystemClock
from clarion.errors import SettingsError
from clarion.realtime.transports import HttpServer
from clarion.realtime.transports import ports as module
from clarion.realtime.transports.ports import listen, listen_local, room_for_files
from clarion.settings import Limits
from tests.support.serving import serving


def test_hosts_that_are_not_ours_are_told():
    """An unknown name, an address of another machine, and a port that is none, are errors of the settings."""
    with pytest.raises(SettingsError, match="known here"):
        listen("no such host.invalid", 0)
    with pytest.raises(SettingsError, match="not an address of this machine"):
        listen("203.0.113.1", 0)
    for port in (-1, 65_536, "3000"):
        with pytest.raises(SettingsError, match="no number from 0 to 65535"):
            listen("127.0.0.1", port)
    assert "privileges" in module._why_not("127.0.0.1", 80, PermissionError(13, "denied"))
    assert "busy" in module._why_not("127.0.0.1", 80, OSError(16, "busy"))


def test_a_name_listens_on_all_its_addresses(monkeypatch):
    """All addresses of a name get the same port; one that is not there is left out."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.113.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
    ]
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_args, **_more: found)
    sockets = listen("several", 0)
    names = [each.getsockname() for each in sockets]
    for each in sockets:
        each.close()
    assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1]


async def test_a_local_socket_that_is_left_over_is_replaced(tmp_path):
    """After a crash the next start takes the name; a socket that is served, or a file, stops it."""
    path = tmp_path / "clarion.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with serving(uds=path):
        with pytest.raises(SettingsError, match="another server"):
            listen_local(path)
    path.write_text("mine")
    with pytest.raises(SettingsError, match="taken by a file"):
        listen_local(path)
    assert path.read_text() == "mine"
    with pytest.raises(SettingsError, match="can't make the local socket"):
        listen_local(tmp_path / ("x" * 200))
    refused = HttpServer(None, limits=Limits(), clock=SystemClock(), uds=path)
    with pytest.raises(SettingsError):
        await refused.serve()
    assert path.exists()


def test_open_files_bound_the_connections(monkeypatch):
    """The limit on open files is raised as far as is allowed, and some are kept for others."""
    limits, raised = [(1000, 4000)], []
    monkeypatch.setattr(module.resource, "getrlimit", lambda _which: limits[0])
    monkeypatch.setattr(module.resource, "setrlimit", lambda _which, to: raised.append(to))
    assert room_for_files() == 3900
    assert raised == [(4000, 4000)]
    limits[0] = (module.resource.RLIM_INFINITY,) * 2
    assert room_for_files() == sys.maxsize
