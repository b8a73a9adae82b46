"""What preferences say of a message: one order of rules, for whoever asks."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.clock import as_ms
from clarion.errors import Invalid, TooLarge
from clarion.notifications.preferences.document import Cap, Defaults, Document, check
from clarion.notifications.preferences.evaluate import (
    Asked,
    Counted,
    Wishes,
    cap_key,
    decide,
    explain,
    is_for_all,
    sources,
)
from clarion.notifications.workflows.times import moment

NOW = moment("2026-06-10T12:00:00Z") or 0
NIGHT = moment("2026-06-10T23:00:00Z") or 0


def asked(channel: str = "email", **more: object) -> Asked:
    facts = {"payload": {"thread": "t1", "total": 5}, "recipient": {"id": "ann"}}
    return Asked(**{"workflow": "w", "category": "c", "channel": channel, "facts": facts, **more})  # type: ignore[arg-type]


def wishes(own: object = None, defaults: object = None) -> Wishes:
    return Wishes(
        msgspec.convert(own or {}, Document), msgspec.convert(defaults or {}, Defaults), 1, 1
    )


# Most specific first: each says the opposite of those behind it.
ORDER = [
    ({"workflows": {"w": {"email": True}}}, {}, None),
    ({"workflows": {"w": {"*": True}}}, {}, None),
    ({"categories": {"c": {"email": True}}}, {}, None),
    ({"categories": {"c": True}}, {}, None),
    ({"channels": {"email": True}}, {}, None),
    ({"channels": {"*": True}}, {}, None),
    ({}, {"workflows": {"w": {"email": True}}}, None),
    ({}, {"workflows": {"w": {"*": True}}}, None),
    ({}, {}, {"email": True}),
    ({}, {"categories": {"c": {"email": True}}}, None),
    ({}, {"channels": {"email": True}}, None),
    ({}, {"channels": {"*": True}}, None),
]


def _merged(one: dict, other: dict) -> dict:  # type: ignore[type-arg]
    found = dict(one)
    for name, each in other.items():
        mine = found.get(name)
        found[name] = (
            _merged(mine, each)
            if isinstance(mine, dict) and isinstance(each, dict)
            else mine
            if name in found
            else each
        )
    return found


def _against(given: object) -> object:
    return {k: _against(v) for k, v in given.items()} if isinstance(given, dict) else not given


@pytest.mark.parametrize("n", range(len(ORDER)))
@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_more_specific_word_counts(n: int, is_wanted: bool) -> None:
    """A person's word before the deployment's, a workflow's before a category's before a channel's."""
    (own, defaults, workflow), *behind = ORDER[n:]
    for other_own, other_defaults, other_workflow in behind:
        own = _merged(own, _against(other_own))  # type: ignore[arg-type]
        defaults = _merged(defaults, _against(other_defaults))  # type: ignore[arg-type]
        workflow = (
            workflow
            if workflow is not None
            else _against(other_workflow)
            if other_workflow
            else None
        )
    if not is_wanted:
        own, defaults = _against(own), _against(defaults)
        workflow = _against(workflow) if workflow is not None else None
    said = decide(asked(by_workflow=workflow), wishes(own, defaults), NOW)
    assert said.verdict == ("send" if is_wanted else "skip")


def test_a_choice_may_be_a_condition() -> None:
    """It is read like a step's `if`, with `and` and `or`; what it read is told."""
    own = {
        "channels": {
            "email": "payload.total > 10 or payload.thread == 't1' and recipient.id == 'ann'"
        }
    }
    assert decide(asked(), wishes(own), NOW).verdict == "send"
    said = decide(asked(facts={"payload": {"total": 1}}), wishes(own), NOW)
    assert said.verdict == "skip"
    assert said.read == {"payload.total": 1, "payload.thread": None}


def test_what_is_critical_or_required_passes_everything() -> None:
    """Choices, mutes, pauses, quiet hours and caps do not hold it."""
    own = {
        "channels": {"email": False},
        "muted": [{"path": "payload.thread", "value": "t1"}],
        "paused_until": "2027-01-01T00:00:00Z",
        "quiet": [{"from": "00:00", "to": "23:59"}],
    }
    caps = [{"channel": "email", "limit": 1, "per": "1h"}]
    assert decide(asked(), wishes(own, {"caps": caps}), NOW).verdict == "skip"
    assert decide(asked(is_critical=True), wishes(own, {"caps": caps}), NOW).verdict == "send"
    required = {"caps": caps, "required": ["c"]}
    assert decide(asked(), wishes(own, required), NOW).verdict == "send"
    assert decide(asked(category="d"), wishes(own, required), NOW).verdict == "skip"


def test_one_thread_is_muted() -> None:
    """Of the same payload member others are not, nor is a value of another kind, nor after its end."""
    own = {"muted": [{"path": "payload.thread", "value": "t1", "until": "2026-06-11T00:00:00Z"}]}
    assert decide(asked("inbox"), wishes(own), NOW).verdict == "skip"
    assert decide(asked(facts={"payload": {"thread": "t2"}}), wishes(own), NOW).verdict == "send"
    assert decide(asked("inbox"), wishes(own), NOW + 86_400_000).verdict == "send"
    of_one = {"muted": [{"path": "payload.n", "value": 1}]}
    assert decide(asked(facts={"payload": {"n": True}}), wishes(of_one), NOW).verdict == "send"
    assert decide(asked(facts={"payload": {"n": 1}}), wishes(of_one), NOW).verdict == "skip"


def test_a_pause_leaves_the_inbox() -> None:
    """Nothing else is sent, and it ends by itself."""
    own = {"paused_until": "2026-06-11T00:00:00Z"}
    assert decide(asked("push"), wishes(own), NOW).verdict == "skip"
    assert decide(asked("inbox"), wishes(own), NOW).verdict == "send"
    assert decide(asked("push"), wishes(own), NOW + 86_400_000).verdict == "send"


def test_quiet_hours_defer() -> None:
    """In the person's own zone, which may be said, be known, or come from the deployment; the inbox is not held."""
    own = {"quiet": [{"from": "22:00", "to": "07:00"}]}
    said = decide(asked("push"), wishes(own), NIGHT)
    assert (said.verdict, said.until_ms) == ("defer", moment("2026-06-11T07:00:00Z"))
    assert decide(asked("inbox"), wishes(own), NIGHT).verdict == "send"
    tokyo = {"recipient": {"time_zone": "Asia/Tokyo"}}
    assert decide(asked("push", facts=tokyo), wishes(own), NIGHT).verdict == "send"  # 08:00 there
    nowhere = {"recipient": {"time_zone": "Mars/Olympus"}}
    assert decide(asked("push", facts=nowhere), wishes(own), NIGHT).verdict == "defer"  # UTC
    elsewhere = wishes(own, {"time_zone": "Asia/Tokyo"})
    assert decide(asked("push"), elsewhere, NIGHT).verdict == "send"
    everybody = {"quiet": [{"from": "22:00", "to": "07:00"}]}
    assert decide(asked("push"), wishes({}, everybody), NIGHT).verdict == "defer"
    assert decide(asked("push"), wishes({"quiet": []}, everybody), NIGHT).verdict == "send"


def test_caps() -> None:
    """A message is counted before it is sent; what is over is left out, or collected until the span ends."""
    cap = Cap("email", 2, "1h", over="digest")
    all_of_it = wishes({}, {"caps": [msgspec.to_builtins(cap)]})
    first = decide(asked(), all_of_it, NOW)
    assert (first.verdict, first.caps) == ("count", (cap,))
    assert decide(asked("push"), all_of_it, NOW).verdict == "send"
    key = cap_key(cap)
    assert decide(asked(counted={key: Counted(2, 9)}), all_of_it, NOW).verdict == "send"
    over = decide(asked(counted={key: Counted(3, 9)}), all_of_it, NOW)
    assert (over.verdict, over.until_ms) == ("collect", 9)
    of_category = wishes(
        {}, {"caps": [{"channel": "email", "category": "c", "limit": 1, "per": "1d"}]}
    )
    assert decide(asked(category="d"), of_category, NOW).verdict == "send"
    assert decide(asked(), of_category, NOW).verdict == "count"


_choice = st.sampled_from([True, False, "payload.total > 3", "payload.total > 30"])
_choices = _choice | st.dictionaries(st.sampled_from(["email", "push", "*"]), _choice, max_size=2)
_documents = st.fixed_dictionaries(
    {},
    optional={
        "channels": st.dictionaries(st.sampled_from(["email", "push"]), _choice),
        "categories": st.dictionaries(st.sampled_from("cd"), _choices),
        "workflows": st.dictionaries(st.sampled_from("wv"), _choices),
        "quiet": st.just([{"from": "22:00", "to": "07:00"}]),
    },
)
_own = st.builds(
    lambda one, more: {**one, **more},
    _documents,
    st.fixed_dictionaries(
        {},
        optional={
            "muted": st.just([{"path": "payload.thread", "value": "t1"}]),
            "paused_until": st.sampled_from(["2026-06-10T00:00:00Z", "2026-06-12T00:00:00Z"]),
        },
    ),
)
_asked = st.builds(
    asked,
    st.sampled_from(["email", "push", "inbox"]),
    workflow=st.sampled_from(["w", "v", "", "other"]),
    category=st.sampled_from(["c", "d", ""]),
    is_critical=st.booleans(),
    by_workflow=st.none() | _choices,
)


@given(_own, _documents, _asked, st.sampled_from([NOW, NIGHT]))
def test_there_is_one_answer_and_it_is_the_first_rule_that_decides(
    own: object, defaults: object, about: Asked, now_ms: int
) -> None:
    """For any documents: `explain` tells the rules in one order, `decide` is the first of them with a verdict, else it is sent."""
    both = wishes(own, defaults)
    rules = list(explain(about, both, now_ms))
    assert [said.rule for said in rules] == [
        "required", "muted", "choice", "paused", "quiet", "capped",
    ]  # fmt: skip
    verdicts = [said.verdict for said in rules if said.verdict is not None]
    assert decide(about, both, now_ms).verdict == (verdicts[0] if verdicts else "send")
    if about.is_critical:
        assert verdicts[0] == "send"
    names = [source for source, _ in sources(about, both)]
    assert len(set(names)) == len(names)
    said_first = next((choice for _, choice in sources(about, both) if choice is not None), None)
    if said_first is False:
        assert rules[2].verdict == "skip"


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"channels": {"email": "payload."}}, "/channels/email"),
        ({"workflows": {"a/b": {"email": "secret.x"}}}, "/workflows/a~1b/email"),
        ({"categories": {"c": "digest.count > 1"}}, "/categories/c"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"time_zone": "localtime"}, "/time_zone"),
        ({"paused_until": "9999-12-31T23:59:59Z"}, "/paused_until"),
        (
            {
                "muted": [
                    {"path": "payload.a", "value": 1, "until": "8999-12-31T23:59:59-14:00"},
                    {"path": "payload.b", "value": 1, "until": "9999-12-31T23:59:59-14:00"},
                ]
            },
            "/muted/1/until",
        ),
        ({"quiet": [{"from": "00:00", "to": "00:00"}]}, "/quiet"),
    ],
)
def test_what_could_not_be_obeyed_is_refused(document: object, pointer: str) -> None:
    """With a pointer to it."""
    with pytest.raises(Invalid) as caught:
        check(msgspec.convert(document, Document), 10_000)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_a_document_is_bounded() -> None:
    """In bytes, named by the setting; a cap has a span that can be read."""
    with pytest.raises(TooLarge, match="preference_bytes"):
        check(Document(channels={f"c{n}": True for n in range(100)}), 256)
    with pytest.raises(Invalid) as caught:
        check(Defaults(caps=[Cap("email", 1, "soon")]), 1_000)
    assert caught.value.faults[0].pointer == "/caps/0/per"


def test_times_need_a_zone() -> None:
    """`paused_until` without one could be any of 24 hours."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"paused_until": "2026-06-11T00:00:00"}, Document)
    given = msgspec.convert({"paused_until": "2026-06-11T00:00:00+02:00"}, Document)
    assert given.paused_until is not None
    assert as_ms(given.paused_until) == moment("2026-06-10T22:00:00Z")


@pytest.mark.parametrize(
    ("defaults", "by_workflow", "expected"),
    [
        ({}, None, True),
        ({"quiet": [{"from": "22:00", "to": "07:00"}]}, None, True),
        ({"channels": {"email": False}, "categories": {"c": True}}, None, True),
        ({"categories": {"c": False}}, None, False),
        ({"categories": {"c": False}, "required": ["c"]}, None, True),
        ({"categories": {"c": "recipient.attributes.vip"}}, None, False),
        ({}, {"inbox": "payload.urgent"}, False),
        ({}, {"inbox": True}, True),
        ({"caps": [{"channel": "inbox", "limit": 1, "per": "1h"}]}, None, False),
    ],
)
def test_what_all_get_who_have_said_nothing(
    defaults: object, by_workflow: object, expected: bool
) -> None:
    """So it is unless somebody says no, or what is said depends on the person, the message or a count."""
    message = asked("inbox", by_workflow=by_workflow, facts={})
    assert is_for_all(message, wishes(defaults=defaults), NIGHT) is expected
