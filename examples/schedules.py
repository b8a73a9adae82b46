"""A report every Monday at nine, by everybody's own clock, and a reminder for tomorrow: `CLARION_KEY=clk_… python examples/schedules.py`."""

import os

from clarion.client import Client

REPORT = {
    "workflow": "report",
    "steps": [{"inbox": {"title": "Your report of {{ payload.of }}"}}],
}

with Client("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
    clarion.put_workflow(REPORT)
    first = {"frequency": "monthly", "days": ["1 mon", "last"], "at": "09:00", "zone": "Asia/Tokyo"}
    [upcoming] = clarion.preview_schedule({"repeats": first}, count=1)
    print("the first Monday and the last day of a month, at", upcoming.local[-5:])

    weekly = {"frequency": "weekly", "days": ["mon"], "at": "09:00", "zone": "recipient"}
    kept = clarion.put_schedule(
        "weekly-report",
        {"workflow": "report", "recipients": [{"id": "ann"}], "payload": {"of": "the week"}},
        {"repeats": weekly},
        missed="skip",
    )
    # One that was paused stays so until somebody resumes it.
    print(kept.schedule, kept.state, kept.next[0].local[-5:] if kept.next else "-")

    # The same at once, for a look at it; and another that nobody is told of after all.
    clarion.run_schedule("weekly-report")
    later = clarion.trigger(
        "report",
        ["ann"],
        {"of": "the year"},
        at="2030-12-31T18:00",
        zone="Europe/Berlin",
        cancel_key="year",
    )
    print("to come at", later.start_at)
    print("called off:", clarion.cancel_triggers("year").triggers)
    print(clarion.pause_schedule("weekly-report", if_match=kept.etag).state)
