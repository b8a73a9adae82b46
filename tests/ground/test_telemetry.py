"""What the process says of itself."""

import asyncio
import contextlib
import json
import logging
import subprocess
import sys
from typing import Any

import pytest
import structlog
from prometheus_client import Counter, generate_latest

from clarion import telemetry
from clarion.clock import ManualClock
from clarion.telemetry import (
    REGISTRY,
    Seldom,
    Tasks,
    configure_logging,
    events,
    get_logger,
    sessions,
    spawn,
    spawn_forever,
)


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def test_every_metric_has_a_help_text_and_the_prefix() -> None:
    """Whoever scrapes knows what each series means."""
    for family in REGISTRY.collect():
        assert family.name.startswith(("clarion_", "process_"))
        assert family.documentation
    assert b"clarion_sessions" in generate_latest(REGISTRY)


def test_no_two_metrics_share_a_name() -> None:
    """A second one with a name is refused, and what is scraped has each family once."""
    with pytest.raises(ValueError, match="clarion_events_total"):
        Counter("events", "twice", namespace="clarion", registry=REGISTRY)
    names = [family.name for family in REGISTRY.collect()]
    assert len(names) == len(set(names))


def test_what_is_counted_is_scraped() -> None:
    """Each label's value is a series of its own; what goes up as one may also be a gauge."""
    events.labels("in").inc()
    open_now = sessions.labels("polling").value
    sessions.labels("polling").inc()
    sessions.labels("polling").dec()
    before = REGISTRY.get_sample_value("clarion_events_total", {"direction": "in"})
    assert before
    events.labels("in").inc(2)
    assert REGISTRY.get_sample_value("clarion_events_total", {"direction": "in"}) == before + 2
    assert REGISTRY.get_sample_value("clarion_sessions", {"transport": "polling"}) == open_now


def test_a_warning_that_comes_a_thousand_times_is_not_a_thousand_lines() -> None:
    """Ten a minute, the next minute's first says how many were left out; other events and errors are not touched."""
    clock = ManualClock()
    seldom = Seldom(clock)

    def lines(count: int, method: str = "warning", event: str = "lost") -> list[dict[str, Any]]:
        kept = []
        for _ in range(count):
            with contextlib.suppress(structlog.DropEvent):
                kept.append(dict(seldom(None, method, {"event": event})))
        return kept

    assert len(lines(1_000)) == 10
    assert len(lines(3, event="another")) == 3
    assert len(lines(1_000, "error")) == 1_000
    clock.advance(60.0)
    first, *more = lines(20)
    assert first["left_out"] == 990
    assert len(more) == 9
    assert not any("left_out" in line for line in more)


def test_what_is_written_has_ten_of_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", json=True)
    for n in range(12):
        get_logger("clarion.test").warning("lost", n=n)
        get_logger("clarion.test").info("kept", n=n)
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert (events.count("lost"), events.count("kept")) == (10, 12)


def test_a_log_line_is_an_event_with_facts(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, one object a line, with libraries' lines in the same shape."""
    configure_logging("info", json=True)
    get_logger("clarion.test").info("session closed", sid="abc", code=3008)
    logging.getLogger("library").warning("odd %s", "thing")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["sid"], ours["code"], ours["level"]) == (
        "session closed",
        "abc",
        3008,
        "info",
    )
    assert theirs["event"] == "odd thing"


def test_others_words_make_no_line_and_steer_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What somebody is called or an address has answered stands in the log for a person as it is, with escapes where nothing could be seen."""
    configure_logging("info")
    forged = "\n2026-01-01 [info] forged\x1b[2J\x9b31m\u202e"
    get_logger("clarion.test").info("said", name=f"Jürg{forged}")
    logging.getLogger("library").warning("odd %s", forged)
    try:
        raise ValueError(f"\x1b[2J{forged}")
    except ValueError:
        get_logger("clarion.test").exception("failed")
    written = capsys.readouterr().err
    assert "Jürg" in written
    assert all(line.isprintable() for line in written.splitlines())
    assert not any(line.startswith("2026-01-01") for line in written.splitlines())
    first, second, third, *traceback = written.splitlines()
    for line, event in ((first, "said"), (second, "odd"), (third, "failed")):
        assert event in line
    assert all(line.startswith("  ") for line in traceback)


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The level is a setting."""
    configure_logging("warning")
    get_logger("clarion.test").info("chatter")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("json", [False, True])
def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str], json: bool) -> None:
    """What is in the variables of a frame may be a secret: the lines of the code are enough."""
    configure_logging("info", json=json)

    def sign_in(password: str) -> None:
        raise ValueError("broken")

    secret = "correct horse " + "battery staple"
    try:
        sign_in(secret)
    except ValueError:
        get_logger("clarion.test").exception("failed")
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "in sign_in" in shown
    assert "battery staple" not in shown


AS_A_LIBRARY = """
from clarion.telemetry import get_logger
log = get_logger("clarion.x")
log.info("nobody asked for this")
secret = "hunter2"
try:
    int(secret + "!")
except ValueError:
    log.exception("it broke", sid="abc")
"""


def test_a_library_speaks_by_the_standard_logging() -> None:
    """Without any configuration: errors alone, on stderr, and a traceback shows no values."""
    done = subprocess.run(
        [sys.executable, "-c", AS_A_LIBRARY], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    first, *_, last = done.stderr.splitlines()
    assert first.split() == ["it", "broke", "sid=abc"]
    assert last.startswith("ValueError")
    assert "secret = " not in done.stderr
    assert "nobody" not in done.stderr


async def test_a_background_task_that_fails_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing fails unseen; a cancelled task is no failure."""
    configure_logging("info", json=True)

    async def fails() -> None:
        raise ValueError("broken part")

    failing, sleeping = spawn(fails(), name="failing"), spawn(asyncio.sleep(60), name="sleeping")
    sleeping.cancel()
    await asyncio.wait([failing, sleeping])
    await asyncio.sleep(0)
    lines = capsys.readouterr().err
    assert "background task failed" in lines
    assert "broken part" in lines
    assert "sleeping" not in lines


async def test_what_goes_on_for_ever_is_begun_anew(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that one turn meets is logged, and does not end it; to close ends it, in a pause too."""
    monkeypatch.setattr(telemetry, "ANEW_S", 0.0)
    configure_logging("info", json=True)
    tasks, turns = Tasks(), asyncio.Queue[int]()

    async def works() -> None:
        turns.put_nowait(1)
        raise ValueError("broken turn")

    tasks.spawn_forever(works, name="works")
    assert [await turns.get(), await turns.get()] == [1, 1]
    monkeypatch.setattr(telemetry, "ANEW_S", 60.0)
    await tasks.close()
    assert len(tasks) == 0
    assert "broken turn" in capsys.readouterr().err
    alone = spawn_forever(works, name="alone")
    await turns.get()
    alone.cancel()
    await asyncio.wait([alone])
    assert alone.cancelled()


async def test_an_owner_ends_its_background_tasks_and_keeps_none_that_has_ended() -> None:
    """To finish is to wait for them; to close is to cancel them, and to wait until that is done."""
    tasks, done = Tasks(), asyncio.Event()
    ended: list[str] = []

    async def stays() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("stays")

    async def goes() -> None:
        await done.wait()
        ended.append("goes")

    tasks.spawn(goes(), name="goes")
    done.set()
    await tasks.finish()
    assert (ended, len(tasks)) == (["goes"], 0)
    tasks.spawn(stays(), name="stays")
    await asyncio.sleep(0)
    assert len(tasks) == 1
    await tasks.close()
    assert (ended, len(tasks)) == (["goes", "stays"], 0)
