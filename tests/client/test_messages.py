"""The Python SDK speaks of what became of messages; the example shows the synchronous client."""

from datetime import UTC, datetime
from pathlib import Path

from clarion.client import AsyncClient
from tests.api.live import lively


async def test_messages_are_found_counted_and_given_up(tmp_path: Path) -> None:
    """Page by page, each with its story; a text that nobody could send is sent again, and dropped."""
    async with lively(tmp_path) as live:
        http = await live.back_end(scopes=["workflows:*", "notifications:send", "messages:*"])
        key = http.headers["authorization"].removeprefix("Bearer ")
        async with AsyncClient(app=live.app.asgi, key=key) as clarion:
            steps = [{"inbox": {"title": "Hi"}}, {"sms": {"text": "Hi"}}]
            await clarion.put_workflow({"workflow": "hi", "steps": steps})
            sent = await clarion.trigger("hi", [{"id": "ann", "phone": "+4930123456"}])
            await live.app.workflows.triggers.settled()
            while not (dead := await clarion.dead_letters(workflow="hi")):
                pass
            assert [(each.letters, each.reason) for each in dead] == [
                (1, "there is no sms provider")
            ]
            since = datetime(2020, 1, 1, tzinfo=UTC)
            found = [each async for each in clarion.messages(user="ann", from_=since)]
            assert {(each["channel"], each["status"]) for each in found} == {
                ("inbox", "delivered"),
                ("sms", "failed"),
            }
            [text] = [each for each in found if each["channel"] == "sms"]
            story = await clarion.message(text["id"])
            assert [each.status for each in story.timeline] == ["queued", "failed"]
            assert [each["id"] async for each in clarion.triggers(workflow="hi")] == [sent.id]
            runs = [each async for each in clarion.all_runs(user="ann", status="done")]
            assert all(each["trigger"] == sent.id for each in runs)
            [numbers] = (await clarion.stats(by="channel", channel="inbox")).items
            assert (numbers.name, numbers.counts["delivered"]) == ("inbox", 1)
            again = await clarion.replay_dead_letters([text["id"]])
            assert (again.letters, again.more) == (1, False)
            while not await clarion.dead_letters():
                pass
            assert (await clarion.drop_dead_letters(channel="sms")).letters == 1
            assert await clarion.dead_letters() == []
