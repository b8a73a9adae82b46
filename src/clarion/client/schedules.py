"""What both clients say of schedules."""

from collections.abc import Mapping
from typing import Any

from clarion.client import schedule_calls
from clarion.client.calling import AsyncCalls, Calls
from clarion.client.schedule_calls import Schedule, Upcoming
from clarion.client.workflow_calls import Triggered


class ScheduleCalls(Calls):
    """The part of `Client` that speaks of schedules."""

    def put_schedule(
        self,
        schedule: str,
        trigger: Mapping[str, Any],
        when: Mapping[str, Any],
        *,
        name: str | None = None,
        missed: str | None = None,
        grace: str | None = None,
        if_match: str | None = None,
    ) -> Schedule:
        """Keep a schedule, or change one; the same again changes nothing.

        Args:
            schedule: Its name.
            trigger: What is triggered: `{"workflow": …, "recipients": […], "audiences": […], "everyone": True, "payload": …}`.
            when: `{"at": "2026-12-24T18:00", "zone": "Europe/Berlin"}`, `{"cron": "0 9 * * 1-5", "zone": …}`, or
                `{"repeats": {"frequency": "weekly", "days": ["mon"], "at": "09:00", "zone": "recipient"}}`.
            name: For people.
            missed: `run_once` (the default) or `skip`: what becomes of occurrences that nobody was there for.
            grace: So late an occurrence is not missed; `10m` by default.
            if_match: The `etag` of what was read: refused where somebody has changed it since.
        """
        more = {"name": name, "missed": missed, "grace": grace}
        return self.call(schedule_calls.put(schedule, trigger, when, more, if_match))

    def find_schedule(self, schedule: str, *, count: int = 5) -> Schedule:
        """A schedule, with so many of its next occurrences."""
        return self.call(schedule_calls.find(schedule, count))

    def schedules(
        self, *, workflow: str = "", state: str | None = None, after: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """A page of schedules: `{items, next}`; of a workflow, in a state (`active`, `paused`, `ended`, `cancelled`)."""
        return self.call(schedule_calls.page(workflow, state, after, limit))

    def pause_schedule(self, schedule: str, *, if_match: str | None = None) -> Schedule:
        """Trigger nothing until it is resumed."""
        return self.call(schedule_calls.pause(schedule, True, if_match))

    def resume_schedule(self, schedule: str, *, if_match: str | None = None) -> Schedule:
        """Go on with the next occurrence from now on."""
        return self.call(schedule_calls.pause(schedule, False, if_match))

    def cancel_schedule(self, schedule: str, *, if_match: str | None = None) -> None:
        """Trigger nothing of it any more."""
        self.call(schedule_calls.cancel(schedule, if_match))

    def run_schedule(self, schedule: str, *, idempotency_key: str | None = None) -> Triggered:
        """Trigger it now, once, beside its occurrences."""
        return self.call(schedule_calls.run(schedule, self._key(idempotency_key)))

    def occurrences(self, schedule: str, *, before: str = "", limit: int = 50) -> dict[str, Any]:
        """A page of what became of its occurrences, the newest first: `{items, next}`."""
        return self.call(schedule_calls.occurrences(schedule, before, limit))

    def preview_schedule(self, when: Mapping[str, Any], *, count: int = 10) -> list[Upcoming]:
        """When something would come round."""
        return self.call(schedule_calls.preview(when, count)).next


class AsyncScheduleCalls(AsyncCalls):
    """The same as coroutines."""

    async def put_schedule(
        self,
        schedule: str,
        trigger: Mapping[str, Any],
        when: Mapping[str, Any],
        *,
        name: str | None = None,
        missed: str | None = None,
        grace: str | None = None,
        if_match: str | None = None,
    ) -> Schedule:
        """As `ScheduleCalls.put_schedule`."""
        more = {"name": name, "missed": missed, "grace": grace}
        return await self.call(schedule_calls.put(schedule, trigger, when, more, if_match))

    async def find_schedule(self, schedule: str, *, count: int = 5) -> Schedule:
        """As `ScheduleCalls.find_schedule`."""
        return await self.call(schedule_calls.find(schedule, count))

    async def schedules(
        self, *, workflow: str = "", state: str | None = None, after: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """As `ScheduleCalls.schedules`."""
        return await self.call(schedule_calls.page(workflow, state, after, limit))

    async def pause_schedule(self, schedule: str, *, if_match: str | None = None) -> Schedule:
        """As `ScheduleCalls.pause_schedule`."""
        return await self.call(schedule_calls.pause(schedule, True, if_match))

    async def resume_schedule(self, schedule: str, *, if_match: str | None = None) -> Schedule:
        """As `ScheduleCalls.resume_schedule`."""
        return await self.call(schedule_calls.pause(schedule, False, if_match))

    async def cancel_schedule(self, schedule: str, *, if_match: str | None = None) -> None:
        """As `ScheduleCalls.cancel_schedule`."""
        await self.call(schedule_calls.cancel(schedule, if_match))

    async def run_schedule(self, schedule: str, *, idempotency_key: str | None = None) -> Triggered:
        """As `ScheduleCalls.run_schedule`."""
        return await self.call(schedule_calls.run(schedule, self._key(idempotency_key)))

    async def occurrences(
        self, schedule: str, *, before: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """As `ScheduleCalls.occurrences`."""
        return await self.call(schedule_calls.occurrences(schedule, before, limit))

    async def preview_schedule(self, when: Mapping[str, Any], *, count: int = 10) -> list[Upcoming]:
        """As `ScheduleCalls.preview_schedule`."""
        return (await self.call(schedule_calls.preview(when, count))).next
