"""Ids and chance."""

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
