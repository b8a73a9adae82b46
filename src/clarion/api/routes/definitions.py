"""`/v1/definition-checks`: what would become of workflows, templates, schedules and defaults that are put together, as a deployment does."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from clarion.api.layer import READS, Api
from clarion.api.limits import PerCaller
from clarion.api.routes.templates import WELCOME
from clarion.auth.principal import Principal
from clarion.auth.rights import Right
from clarion.notifications.engine import Engine
from clarion.notifications.judging import Judged

_READ = Right("workflows:read")


class CheckDefinitions(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be put."""

    definitions: Annotated[
        list[dict[str, Any]],
        Meta(
            min_length=1,
            max_length=1_000,
            description="Each as its own door takes it, with its name as `workflow`, `template` or `schedule`; `preferences: defaults` is what holds for everybody",
        ),
    ]


class DefinitionsChecked(Struct, frozen=True):
    """What would become of each, in their order; `author`: who would have written them, as lists tell it."""

    items: list[Judged]
    author: str


def add(api: Api, engine: Engine) -> None:
    """Open the door."""

    @api.route(
        "POST",
        "/v1/definition-checks",
        right=_READ,
        takes_key=False,
        limit=PerCaller(),
        errors=READS,
        example=CheckDefinitions(
            [
                {"template": "welcome", "channels": WELCOME.channels},
                {"workflow": "welcome", "steps": [{"inbox": {"template": "welcome"}}]},
            ]
        ),
    )
    async def check_definitions(caller: Principal, body: CheckDefinitions) -> DefinitionsChecked:
        """What would become of definitions if all of them were put, and what is wrong with which; nothing is kept.

        A workflow may say a template that is only about to come, and a schedule trigger such a workflow.
        """
        items = await engine.judge.judge(caller.tenant, body.definitions)
        return DefinitionsChecked(items, f"{caller.kind}:{caller.id}")
