"""Ids and chance."""

import os
import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from clarion.ids import Ids, digest


def test_a_sockets_id_is_twenty_characters_and_a_sessions_ends_with_its_node() -> None:
    """The lengths are part of the protocol: 120 random bits, then four characters of the node."""
    ids = Ids()
    node = ids.node()
    assert re.fullmatch(r"[A-Za-z0-9_-]{20}", ids.token())
    assert re.fullmatch(r"[A-Za-z0-9_-]{24}", ids.session_id(node))
    assert ids.session_id(node).endswith(node)
    assert len(ids.epoch()) == 8


def test_ids_do_not_come_twice() -> None:
    """Not in a process, not where the source is filled anew, and not in a child that was forked from it."""
    ids = Ids()
    made = {ids.token() for _ in range(2_000)}
    assert len(made) == 2_000
    assert len(ids.token(5_000)) == 6_667
    assert all(0 <= ids.uniform(0, 1) < 1 for _ in range(1_000))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, ids.token().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 20).decode() != ids.token()
    os.close(read)
    os.close(write)


def test_the_same_seed_gives_the_same_ids() -> None:
    """A simulated run replays exactly."""
    one, two = Ids.seeded(7), Ids.seeded(7)
    assert [one.token(), one.mark(), one.ordered(5), one.uniform(1, 2)] == [
        two.token(),
        two.mark(),
        two.ordered(5),
        two.uniform(1, 2),
    ]


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**32))
def test_ordered_ids_are_version_7_and_sort_by_time(now_ms: int, seed: int) -> None:
    """RFC 9562 §5.7: an id made later sorts later."""
    ids = Ids.seeded(seed)
    first, second = ids.ordered(now_ms), ids.ordered(now_ms + 1)
    assert first < second
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert int(first.replace("-", "")[:12], 16) == now_ms


def test_a_digest_is_sha256_of_text_or_bytes() -> None:
    """Secrets are stored by their digest."""
    assert digest("abc") == digest(b"abc")
    assert digest("abc").startswith("ba7816bf")
