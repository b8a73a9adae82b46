"""Fallback: one channel after the other, until one has the message. Pure.

    - id: tell
      fallback:
        - push: {title: "{{ payload.title }}"}
          within: 5m
        - sms: {text: "{{ payload.title }}"}
        - email: {subject: "{{ payload.title }}", text: "…"}

It stands for steps that could be written out, and is read as those: each with its own record, so that a run can be explained.

    - {id: tell_push, push: {…}}
    - wait: {message: tell_push, is: sent, timeout: 5m, call_off: true}
    - {id: tell_sms, sms: {…}, if: not tell_push.sent}
    - wait: {message: tell_sms, is: sent, timeout: 10m, call_off: true}
    - {id: tell_email, email: {…}, if: not tell_push.sent and not tell_sms.sent}

A channel on which somebody has no address, or wants nothing, is passed over at once. One that fails is waited for until it has
failed. One that takes longer than `within` is called off, unless a provider has the message in hand just then.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec import Struct

from clarion.notifications.workflows.faults import wrong

NAME: Final = "fallback"
WITHIN: Final = "10m"
LEAST, MOST, ID_CHARS = 2, 6, 20


class Written(Struct, frozen=True):
    """A step as it could be written, and where it stands."""

    step: Mapping[str, Any]
    at: str


def written_out(
    step: Mapping[str, Any], at: str, n: int, channels: Collection[str]
) -> list[Written]:
    """The steps that a step stands for: itself, if it is no fallback.

    Args:
        step: As it is given.
        at: Where: `/steps/2`.
        n: Its place, from 0: names it where it has no `id`.
        channels: Those there are: other acts have nothing to fall back from.

    Raises:
        Invalid: It is a fallback, and wrong in a way that none of its steps would be.
    """
    if NAME not in step:
        return [Written(step, at)]
    if unknown := sorted(step.keys() - {NAME, "id", "if"}):
        raise wrong(at, f"a fallback has `id` and `if` beside it, not {unknown[0][:40]!r}")
    listed = step[NAME]
    if not isinstance(listed, list) or not LEAST <= len(listed) <= MOST:
        raise wrong(f"{at}/{NAME}", f"wants a list of {LEAST} to {MOST} channels")
    id = step.get("id", f"{NAME}_{n + 1}")
    asked, found = step.get("if"), list[Written]()
    for name, text in (("id", id), ("if", asked)):
        if text is not None and not isinstance(text, str):
            raise wrong(f"{at}/{name}", "wants a text")
    if len(id) > ID_CHARS:
        raise wrong(f"{at}/id", f"at most {ID_CHARS} characters: its steps are called after it")
    # In parentheses of its own: `a or b` must not mean `a or (b and not …)`.
    conditions = [f"({asked})"] if asked is not None else []
    for k, each in enumerate(listed):
        where = f"{at}/{NAME}/{k}"
        channel = _channel(each, where, channels)
        said = {"id": f"{id}_{channel}", channel: each[channel]}
        if conditions:
            said["if"] = " and ".join(conditions)
        found.append(Written(said, where))
        if k < len(listed) - 1:
            timeout = each.get("within", WITHIN)
            wait = {"message": said["id"], "is": "sent", "timeout": timeout, "call_off": True}
            found.append(Written({"id": f"{id}_wait_{k + 1}", "wait": wait}, where))
        elif "within" in each:
            raise wrong(f"{where}/within", "nothing comes after the last one")
        conditions.append(f"not {said['id']}.sent")
    return found


def _channel(given: Any, at: str, channels: Collection[str]) -> str:
    names = sorted(given.keys() - {"within"}) if isinstance(given, Mapping) else []
    if len(names) != 1:
        raise wrong(at, "wants one channel with what to say there, and `within` if need be")
    if names[0] not in channels:
        raise wrong(
            f"{at}/{names[0]}", f"there is no channel {names[0]!r}; there are {', '.join(channels)}"
        )
    return str(names[0])
