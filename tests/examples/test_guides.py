"""The tables of the migration guides promise nothing that is not there."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clarion.errors
from clarion.realtime import Cookie, Cors, Handshake, Operator, Server, Socket, SocketOperator
from clarion.realtime.admin import AdminUi, instrument
from clarion.realtime.conn import Connection
from clarion.realtime.emitter import Emitter
from clarion.realtime.engine import Engine
from clarion.settings import Limits, Realtime

GUIDES = Path(__file__).parent.parent.parent / "docs" / "how-to"
PAGES = ["migrate-from-node.md", "migrate-from-python-socketio.md"]

MADE: dict[str, Any] = {
    each.__name__: each for each in (Server, Realtime, Limits, Cors, Cookie, AdminUi, instrument)
}
IO = Server()
ROOTS: dict[str, list[Any]] = {"io": [IO], "socket": [Socket]}
# What a call or an attribute of those gives; deep enough for what a table says.
NEXT = [IO.of("/"), Operator, SocketOperator, Handshake, Connection, Engine, Emitter, Socket]


def cells(page: str) -> Iterator[tuple[str, str]]:
    """Rows of the tables with three columns: what was, and what is here."""
    for line in (GUIDES / page).read_text().splitlines():
        row = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(row) == 3 and not row[0].startswith("---") and row[1] != "here":
            yield row[0], row[1]


def expressions(cell: str) -> Iterator[ast.AST]:
    """The code in a cell, parsed."""
    for code in re.findall(r"`([^`]+)`", cell):
        yield ast.parse(f"async def _():\n    {code.removeprefix('@')}")


@pytest.mark.parametrize(("page", "was", "here"), [(p, *row) for p in PAGES for row in cells(p)])
def test_every_name_of_the_tables_exists(page: str, was: str, here: str) -> None:
    """Each attribute and keyword on our side is found where it is said to be; a row without any says `–`."""
    checked = 0
    for tree in expressions(here):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                checked += has(node)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                checked += takes(node)
    assert checked or here == "–", f"{page}: {was}"


def has(node: ast.Attribute) -> bool:
    """Whether an attribute of ours is there; False for other people's."""
    root: ast.AST = node
    while not isinstance(root, ast.Name):
        root = getattr(root, "value", None) or getattr(root, "func", None) or ast.Name("?")
    if root.id not in ROOTS:
        return False
    owners = ROOTS[root.id] if isinstance(node.value, ast.Name) else NEXT
    assert any(hasattr(owner, node.attr) for owner in owners), ast.unparse(node)
    return True


def takes(node: ast.Call) -> bool:
    """Whether something of ours takes these keywords."""
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    if hasattr(clarion.errors, name):
        return True
    if name not in MADE:
        return False
    parameters = inspect.signature(MADE[name]).parameters
    assert all(keyword.arg in parameters for keyword in node.keywords), ast.unparse(node)
    return True


def test_a_name_that_is_not_there_is_noticed() -> None:
    """The check itself fails where it should."""
    (tree,) = expressions("`await io.to(1).emit_with_ak()`")
    with pytest.raises(AssertionError):
        [has(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    (tree,) = expressions("`Server(allow_reqest=judge)`")
    with pytest.raises(AssertionError):
        [takes(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
