"""Pattern rights: what a token allows with rooms and topics, `{"dashboard:*": ["subscribe"]}`.

Three rules, and there are no others: names fall into segments at `:`; a `*` in a pattern stands for any run of characters of one
segment, never for a `:`; actions are named, each by itself. What nothing grants is denied.
"""

from collections.abc import Mapping, Sequence


def grants(capabilities: Mapping[str, Sequence[str]], action: str, name: str) -> bool:
    """Whether one of the patterns that match the name lists the action.

    Args:
        capabilities: Pattern → actions, as in a token's `rooms` and `topics`; `chat-*`, `dashboard:*`, `feed:*:*`.
        action: Such as `join` or `subscribe`.
        name: A room's or topic's whole name.

    Time is linear in the sizes of pattern and name: patterns come from tokens and are never compiled into anything.
    """
    return any(
        action in actions and matches(pattern, name) for pattern, actions in capabilities.items()
    )


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name is what the pattern says: `dashboard:*` takes `dashboard:sales`, not `dashboard:sales:eu`."""
    wanted, given = pattern.split(":"), name.split(":")
    return len(wanted) == len(given) and all(map(_segment_matches, wanted, given))


def _segment_matches(pattern: str, text: str) -> bool:
    head, *pieces = pattern.split("*")
    if not pieces:
        return head == text
    tail = pieces.pop()
    at, end = len(head), len(text) - len(tail)
    # Without the first clause `ab*ba` would take `aba`: head and tail may not overlap.
    if at > end or not text.startswith(head) or not text.endswith(tail):
        return False
    # The leftmost place for each piece leaves most for the next: nothing is ever tried twice.
    for piece in pieces:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
