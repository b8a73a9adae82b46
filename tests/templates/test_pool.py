"""Workers: what runs too long, or takes too much, takes down its process and nobody else's text."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from clarion.ids import digest
from clarion.settings import Templates
from clarion.telemetry import spawn
from clarion.templates.bench import Answer, Item, Kind, Source
from clarion.templates.pool import Ask, Pool


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(Templates(cpu_ms=60, memory_mb=256), 1)
    yield pool
    await pool.close()


def ask(texts: Sequence[str], kind: Kind = "text", **own: object) -> Ask:
    sources = {
        text: Source(
            digest(text) + (".html" if kind == "html" else ".txt"), text, kind == "html", {}, ""
        )
        for text in texts
    }
    items = [Item(sources[text].id, kind, -1, dict(own), "en", "", -1) for text in texts]
    return Ask({each.id: each for each in sources.values()}, [], [], items, [], 0)


def said(answers: Sequence[Answer]) -> list[str]:
    return [each.text if each.wrong is None else f"! {each.wrong.why}" for each in answers]


BURNS = "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 27 + "{{ a|tojson|length }}"
ATTACKS = {
    "{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}": "computes too much",
    BURNS: "took too long, or too much memory",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}": "recursion limit exceeded",
    "{{ 'x' * 1000000 }}": "1000000 characters, 262144 are allowed",
    "{% set n = namespace(x=1) %}": "namespace is unknown",
    "{{ name.__class__.__mro__ }}": "`name.__class__` is undefined",
    "{% include '/etc/passwd' %}": "non-existing template '/etc/passwd'",
}


async def test_attacks_fail_and_the_others_are_rendered(pool: Pool) -> None:
    """Loops, doubled lists, recursion, floods, Python's insides, files: in one call with good ones between them."""
    texts = [each for attack in ATTACKS for each in (attack, "hi {{ name|upper }}")]
    found = said(await pool.render(ask(texts, name="ann")))
    assert found[1::2] == ["hi ANN"] * len(ATTACKS)
    for answer, why in zip(found[::2], ATTACKS.values(), strict=True):
        # Fuel and CPU time both end an endless loop: on a slow machine the second comes first.
        assert why in answer or "took too long" in answer


async def test_what_several_are_given_is_changed_by_none(pool: Pool) -> None:
    """A template may call what dicts and lists can do: a payload is everybody's."""
    changes = ["payload.pop('a')", "payload.b.append(9)", "payload.b.sort()", "payload.c.update({'k': 1})", "payload.c.clear()"]  # fmt: skip
    asked = ask([*(f"{{{{ {each} }}}}" for each in changes), "{{ payload|tojson }} {{ payload.b|sort }}"])  # fmt: skip
    payload = {"payload": {"a": 1, "b": [2, 1], "c": {"k": "v"}}}
    items = [structs.replace(each, shared=0) for each in asked.items]
    found = said(await pool.render(structs.replace(asked, shared=[payload], items=items)))
    assert set(found[:-1]) == {"! what a text is given cannot be changed"}
    assert found[-1] == '{"a": 1, "b": [2, 1], "c": {"k": "v"}} [1, 2]'


async def test_a_template_that_kills_its_workers_is_stopped(pool: Pool) -> None:
    """After three of them, whatever else it says in the call fails at once."""
    found = said(await pool.render(ask([BURNS] * 40 + ["fine {{ name|upper }}"], name="x")))
    assert found[:3] == ["! took too long, or too much memory"] * 3
    assert set(found[3:40]) == {"! took too long, or too much memory, as it did 3 times before"}
    assert found[40] == "fine X"


@pytest.mark.parametrize(("count", "turn_s"), [(500, 60.0), (40, 0.0)])
async def test_callers_take_turns(count: int, turn_s: float) -> None:
    """Whoever has one line waits for one turn of whoever has hundreds, be they quick and many or few and slow."""
    pool = Pool(Templates(), 1, turn_s=turn_s)
    many = spawn(pool.render(ask(["many {{ 1 + 1 }}"] * count)), name="many")
    for _ in range(5):  # it takes the worker
        await asyncio.sleep(0)
    assert said(await pool.render(ask(["one {{ 1 + 1 }}"]))) == ["one 2"]
    assert not many.done()
    assert said(await many) == ["many 2"] * count
    await pool.close()


async def test_who_gives_up_leaves_no_answer_for_the_next(pool: Pool) -> None:
    """The worker of a caller that was cancelled is not used again."""
    loops = "{% for i in range(9000) %}{{ i }}{% endfor %}"
    slow = spawn(pool.render(ask([loops] * 40)), name="slow")
    for _ in range(5):  # it takes the worker
        await asyncio.sleep(0)
    slow.cancel()
    assert said(await pool.render(ask(["mine {{ 1 + 1 }}"]))) == ["mine 2"]


async def test_a_worker_has_no_secrets_and_closing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is empty; when the server goes, so does it."""
    monkeypatch.setenv("CLARION_SECRET", "x")
    pool = Pool(Templates(), 1)
    await pool.render(ask(["{{ 1 + 1 }}"]))
    [worker] = pool._idle
    assert b"CLARION" not in Path(f"/proc/{worker.process.pid}/environ").read_bytes()  # noqa: ASYNC240
    await pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)


async def test_a_worker_that_dies_is_replaced(pool: Pool) -> None:
    """Whoever kills it."""
    await pool.render(ask(["{{ 1 + 1 }}"]))
    [worker] = pool._idle
    worker.process.kill()
    worker.process.wait()
    assert said(await pool.render(ask(["{{ 1 + 1 }}"]))) in (
        ["2"],
        ["! took too long, or too much memory"],
    )
    assert said(await pool.render(ask(["{{ 1 + 1 }}"]))) == ["2"]


async def test_numbers_of_any_size_get_there(pool: Pool) -> None:
    """What was fetched from elsewhere may have them; one of them is no reason for the others to fail."""
    assert said(await pool.render(ask(["{{ n|string }}", "{{ 1 + 1 }}"], n=2**70))) == [
        str(2**70),
        "2",
    ]
