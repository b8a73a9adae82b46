"""The Python SDK speaks of workflows."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from clarion.client import ApiError, AsyncClient
from tests.api.live import lively

MENTION = {
    "workflow": "mention",
    "payload": {"type": "object", "required": ["who"]},
    "steps": [
        {"id": "bell", "inbox": {"title": "{{ payload.who }} mentioned you"}},
        {"wait": "1d"},
        {"stop": "bell.read"},
        {"inbox": {"title": "still waiting"}},
    ],
}


class BackEnd(AsyncClient):
    """The client of a back end, and when the server has planned what it was told."""

    planned: Callable[[], Awaitable[None]]


@pytest.fixture
async def clarion(tmp_path: Path) -> AsyncIterator[BackEnd]:
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["workflows:*", "notifications:send"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with BackEnd(app=live.app.asgi, key=key) as clarion:
            clarion.planned = live.app.workflows.triggers.settled
            yield clarion


async def test_a_workflow_is_put_triggered_explained_and_called_off(clarion: BackEnd) -> None:
    """What a back end does with one, from the definition to the end of its runs."""
    assert (await clarion.put_workflow(MENTION, dry_run=True)).is_new
    put = await clarion.put_workflow(MENTION)
    assert (put.version, put.is_new) == (1, True)
    assert not (await clarion.put_workflow(MENTION)).is_new
    sent = await clarion.trigger(
        "mention",
        [{"id": "ann"}, {"id": "ben"}],
        {"who": "Cleo"},
        cancel_key="k",
        priority="high",
    )
    assert (sent.version, sent.durability) == (1, "fsync")
    await clarion.planned()
    trigger = await clarion.find_trigger(sent.id)
    assert (trigger.recipients, trigger.runs) == (2, {"running": 2})
    [first, second] = (await clarion.runs(sent.id))["items"]
    run = await clarion.run(first["id"])
    assert [(each["step"], each["outcome"]) for each in run["steps"]] == [
        ("bell", "sent"),
        ("wait_2", "waiting"),
    ]
    again = await clarion.replay_run(first["id"], 1)
    assert [each["outcome"] for each in again["steps"]] == ["sent", "waiting"]
    assert (await clarion.replay_run(first["id"]))["steps"] == again["steps"]
    assert (await clarion.cancel_triggers("k")).runs == 2
    assert (await clarion.cancel_trigger(sent.id)).runs == 0
    assert (await clarion.run(second["id"]))["status"] == "cancelled"


async def test_a_send_to_many_is_paused_watched_and_reported(clarion: BackEnd) -> None:
    """Recipients travel as lines; whom a trigger is for may also be said by rules."""
    await clarion.put_workflow(MENTION)
    many = [{"id": f"u{n}", "locale": "de"} for n in range(1_200)]
    sent = await clarion.trigger_many("mention", many, {"who": "Cleo"}, exclude=["u7"])
    while (await clarion.find_trigger(sent.id)).state == "planning":
        pass  # each call lets the server go on
    assert (await clarion.pause_trigger(sent.id)).state == "paused"
    job = await clarion.resume_trigger(sent.id)
    assert (job.state, job.total, job.is_over) == ("running", 1_199, False)
    await clarion.cancel_trigger(sent.id)
    assert (await clarion.progress(sent.id)).is_over
    assert (await clarion.report(sent.id)).runs == {"cancelled": 1_199}
    german = 'recipient.locale == "de"'
    some = await clarion.trigger(
        "mention", [], {"who": "Cleo"}, filter=german, exclude=["u1", "u2"]
    )
    while (await clarion.find_trigger(some.id)).state == "planning":
        pass  # each call lets the server go on
    assert (await clarion.find_trigger(some.id)).recipients == 1_198
    with pytest.raises(TypeError, match="audiences is a list"):
        await clarion.trigger("mention", audiences="vip")


async def test_a_digest_is_looked_at_and_let_go_before_its_time(clarion: BackEnd) -> None:
    """Once, by whoever may send; one that has closed is not there any more."""
    steps = [{"digest": {"window": "1h"}}, {"inbox": {"title": "{{ digest.count }} comments"}}]
    await clarion.put_workflow({"workflow": "comments", "steps": steps})
    for n in range(2):
        await clarion.trigger("comments", [{"id": "ann"}], {"n": n})
    while not (page := await clarion.digests("comments", "ann"))["items"]:
        pass  # each call lets the server go on
    [digest] = page["items"]
    assert (digest["step"], digest["key"], page["next"]) == ("digest_1", "", None)
    assert (await clarion.digests("comments", "bob"))["items"] == []
    await clarion.release_digest(digest["id"])
    while (await clarion.digests("comments", "ann"))["items"]:
        pass
    for id in (digest["id"], "nothing"):
        with pytest.raises(ApiError) as caught:
            await clarion.release_digest(id)
        assert caught.value.problem["code"] == "not_found"


async def test_what_is_wrong_is_pointed_at(clarion: BackEnd) -> None:
    """In the definition, and in what it is triggered with."""
    with pytest.raises(ApiError) as caught:
        await clarion.put_workflow({"workflow": "w", "steps": [{"fax": {}}, {"wait": "soon"}]})
    assert [each["pointer"] for each in caught.value.problem["errors"]] == [
        "/steps/0/fax",
        "/steps/1/wait/for",
    ]
    await clarion.put_workflow(MENTION)
    with pytest.raises(ApiError) as caught:
        await clarion.trigger("mention", [{"id": "ann"}])
    assert caught.value.problem["errors"][0]["pointer"] == "/payload"
    with pytest.raises(ApiError) as caught:
        await clarion.trigger("mention", ["ann"], {"who": "Cleo"}, priority="at once")
    assert caught.value.problem["errors"][0]["pointer"] == "/priority"
    with pytest.raises(TypeError):
        await clarion.trigger("mention", "ann")


async def test_a_template_is_put_previewed_rolled_back_and_deleted(clarion: BackEnd) -> None:
    """What a designer's tool does with one; workers render the preview."""
    welcome = {
        "template": "welcome",
        "channels": {
            "inbox": {
                "en": {"title": "Welcome{% if recipient.name %}, {{ recipient.name }}{% endif %}"},
                "de": {"title": "Willkommen"},
            }
        },
    }
    put = await clarion.put_template(welcome, dry_run=True)
    assert put.is_new and "+/channels/inbox/de/title:" in put.diff.split("\n")  # noqa: PT018
    assert (await clarion.put_template(welcome)).version == 1
    found = await clarion.preview_template("welcome", {"recipient": {"name": "Ann"}})
    assert found["channels"]["inbox"] == {
        "locale": "en",
        "content": {"title": "Welcome, Ann"},
        "faults": [],
    }
    draft = {**welcome, "channels": {"inbox": {"en": {"title": "{% if %}"}}}}
    found = await clarion.preview_template(draft)
    [fault] = found["channels"]["inbox"]["faults"]
    assert (fault["pointer"], fault["line"], fault["column"]) == ("/title", 1, 7)
    assert [each["pointer"] for each in found["faults"]] == ["/channels/inbox/en/title"]
    with pytest.raises(ApiError) as refused:
        await clarion.put_template(draft)
    assert refused.value.code == "invalid"
    welcome["channels"]["inbox"]["de"] = {"title": "Hallo"}  # type: ignore[index]
    assert (await clarion.put_template(welcome)).version == 2
    assert (await clarion.roll_back_template("welcome", 1)).version == 1
    assert [each["version"] for each in (await clarion.template_versions("welcome"))["items"]] == [
        2,
        1,
    ]
    assert [each["template"] for each in (await clarion.templates())["items"]] == ["welcome"]
    await clarion.delete_template("welcome")
    assert (await clarion.find_template("welcome", 2)).definition["channels"]["inbox"]["de"]
    with pytest.raises(ApiError) as gone:
        await clarion.find_template("welcome")
    assert gone.value.code == "not_found"
