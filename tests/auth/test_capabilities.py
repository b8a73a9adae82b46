"""Pattern rights, against a slow and obvious reading of the same three rules."""

from hypothesis import example, given
from hypothesis import strategies as st

from clarion.auth.capabilities import grants, matches

# Few letters, so that patterns often match and nearly match.
PATTERNS = st.text("ab*:", max_size=12)
NAMES = st.text("ab:", max_size=12)


def obvious(pattern: str, name: str) -> bool:
    """The rules, letter by letter, without a thought for time."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        if obvious(pattern[1:], name):
            return True
        return bool(name) and name[0] != ":" and obvious(pattern, name[1:])
    return bool(name) and pattern[0] == name[0] and obvious(pattern[1:], name[1:])


@given(PATTERNS, NAMES)
@example("ab*ba", "aba")
@example("a*b*a", "aba")
@example("*a*ba", "ba")
@example("*", ":")
def test_a_pattern_means_what_the_rules_say(pattern: str, name: str) -> None:
    """A `*` stands for any run of characters of one segment, everything else for itself."""
    assert matches(pattern, name) is obvious(pattern, name)


@given(NAMES)
def test_a_name_without_a_star_matches_itself_alone(name: str) -> None:
    """A plain name is a pattern for itself and for no longer or shorter name."""
    assert matches(name, name)
    assert not matches(name, name + "a")
    assert not matches(name + "a", name)


@given(st.text("*", min_size=1, max_size=5), NAMES)
def test_a_star_never_crosses_a_segment(stars: str, name: str) -> None:
    """However many stars: they stay in their segment."""
    assert matches(stars, name) is (":" not in name)


def test_what_nothing_grants_is_denied() -> None:
    """Without a pattern that matches and lists the action there is no right, and actions imply nothing."""
    capabilities = {"dashboard:*": ("subscribe",), "chat-*": ("join", "publish")}
    assert grants(capabilities, "subscribe", "dashboard:sales")
    assert grants(capabilities, "join", "chat-1")
    assert not grants(capabilities, "publish", "dashboard:sales")
    assert not grants(capabilities, "subscribe", "dashboard:sales:eu")
    assert not grants(capabilities, "subscribe", "dashboards:sales")
    assert not grants(capabilities, "join", "chat")
    assert not grants({}, "join", "chat-1")
    assert not grants({"*": ("*",)}, "join", "chat")


def test_patterns_add_up() -> None:
    """Several patterns may match one name; what any of them grants is granted."""
    capabilities = {"feed:*": ("subscribe",), "*:news": ("publish",)}
    assert grants(capabilities, "subscribe", "feed:news")
    assert grants(capabilities, "publish", "feed:news")


def test_a_hostile_pattern_costs_no_more_than_its_length() -> None:
    """A pattern that would keep a backtracking matcher busy for years is answered like any other."""
    assert not matches("a*" * 4000 + "b", "a" * 255)
    assert not matches("*a" * 4000 + "*b*", "a" * 8000)
