"""Imports: people who come in line by line, taken by a job; and the way out again."""

from typing import Any

import msgspec
import pytest

from clarion.auth.principal import Principal
from clarion.errors import Conflict, IdempotencyConflict, Invalid, NotFound
from clarion.notifications.audiences import AudienceDefinition
from clarion.notifications.importing import Importer
from clarion.notifications.imports import CSV
from clarion.notifications.progress import Job
from tests.notifications.conftest import APP, on_one_engine
from tests.notifications.office import Office, office
from tests.notifications.uploads import Gone, Upload

__all__ = ["office"]

NDJSON = "application/x-ndjson"
TABLES = ("import_part", "import_fault", "import", "job")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that a test fills."""
    monkeypatch.setattr("clarion.notifications.imports.PART_LINES", 2)


async def accept(
    office: Office, *lines: str | None, media: str = NDJSON, by: Principal = APP, **more: Any
) -> Job:
    return await office.engine.imports.accept(by, Upload(lines, media), **more)


async def work(office: Office) -> None:
    for job in await office.queue.claim(9):
        await office.engine.importer.carry_out(job)
        await office.queue.finish(job)


async def faults(office: Office, id: str) -> list[tuple[int, str]]:
    return [(each.line, each.reason) async for each in office.engine.imports.faults("default", id)]


async def told(office: Office, **asked: str) -> list[str]:
    return [each.id async for each in office.engine.people.all("default", **asked)]


async def test_who_is_right_is_taken_and_the_others_are_told_of(office: Office) -> None:
    """Line by line, also with several of one person, of whom the later says more; progress says how far it is."""
    job = await accept(
        office,
        '{"id": "ann", "name": "Ann", "locale": "de"}',
        "",
        '{"id": "ben", "email": "nowhere"}',
        '"cat"',
        "no JSON",
        '{"id": "ann", "email": "ann@example.com"}',
        '{"id": "dan", "attributes": {"x": 9007199254740993}}',
        '{"id": "eve", "name": "a\\u0000"}',
        '{"id": "fay", "name": "\\ud800"}',
        '{"id": "gus", "nose": "long"}',
        "7",
        '{"id": "hal", "time_zone": "Europe/Berln"}',
        '{"id": "ida", "attributes": {"x": ["a\\u0000"]}}',
        '{"id": "joe", "attributes": {"a\\u0000": 1}}',
        f'{{"id": "kim", "attributes": {{"x": {"[" * 9_000}{"]" * 9_000}}}}}',
        '{"id": "lea", "name": "it is \\\\u0000"}',
    )
    assert (job.kind, job.state, job.total, job.done) == ("import", "running", 15, 0)
    await work(office)
    job = await office.engine.imports.find("default", job.id)
    assert (job.state, job.done, job.failed) == ("done", 15, 11)
    found = dict(await faults(office, job.id))
    assert list(found) == [3, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15]
    assert "/email" in found[3]
    assert "no JSON" in found[5]
    assert "2^53" in found[7]
    assert "/nose" in found[10]
    assert found[12].startswith("/time_zone: ")
    assert await told(office) == ["ann", "cat", "lea"]
    assert (await office.engine.people.find("default", "lea")).name == "it is \\u0000"
    ann = await office.engine.people.find("default", "ann")
    assert (ann.name, ann.email, ann.locale) == ("Ann", "ann@example.com", "de")
    assert [await office.count(table) for table in TABLES] == [0, 11, 1, 0]


async def test_a_table_is_imported_into_an_audience_and_comes_out_again(office: Office) -> None:
    """What an export gives, an import takes, as NDJSON and as CSV."""
    await office.engine.audiences.put("default", "vip", AudienceDefinition())
    job = await accept(
        office,
        "id,name,attributes.plan,attributes",
        'ann,"Ann, the ""first""",pro,"{""n"": 1}"',
        "ben,,,",
        'cat,"a',
        'b",,',
        "dan,too,few",
        'eve,,,"[1]"',
        'fay,"never ends',
        media=CSV,
        audience="vip",
    )
    await work(office)
    assert [line for line, _ in await faults(office, job.id)] == [6, 7, 8]
    assert await told(office, audience="vip") == ["ann", "ben", "cat"]
    people = [each async for each in office.engine.people.all("default")]
    assert people[0].name == 'Ann, the "first"'
    assert people[0].attributes == {"plan": "pro", "n": 1}
    assert people[2].name == "a\nb"
    again = [msgspec.json.encode(each).decode() for each in people]
    job = await accept(office, *again)
    await work(office)
    assert [each async for each in office.engine.people.all("default")] == people
    assert (await office.engine.imports.find("default", job.id)).failed == 0
    assert await told(office, filter='recipient.attributes.plan == "pro"') == ["ann"]
    for asked in ({"filter": "1 +"}, {"audience": "none"}, {"filter": "true", "audience": "vip"}):
        with pytest.raises(Invalid):
            await told(office, **asked)


@on_one_engine
async def test_a_quote_too_many_costs_the_row_that_it_stands_in(office: Office) -> None:
    """Within a cell it is a text; a quoted cell without an end says what it took for its own, and what follows a row of 64 KiB is read anew."""
    long = ["x" * 1_000] * 70
    job = await accept(
        office,
        '"id",name',
        'ann,5" pipe',
        "ben,Ben",
        'cat,"C ""x"" "',
        'dan,"Dan" the man',
        "eve,Eve",
        'fay,"never ends',
        *long,
        'gus,""',
        'hal,"a',
        "",
        '""b"", c"',
        'joe,"nor here',
        "kim,Kim",
        media=CSV,
    )
    await work(office)
    assert [each.name async for each in office.engine.people.all("default") if each.name] == [
        '5" pipe', "Ben", 'C "x" ', "Eve", 'a\n\n"b", c',
    ]  # fmt: skip
    found = dict(await faults(office, job.id))
    assert list(found)[:2] == [5, 7]
    assert found[5] == "no CSV, the head has 2"
    assert found[7] == "no CSV, the head has 2; all up to line 73 is one row, by its quotes"
    last = max(found)
    assert "is one row" in found[last]
    assert "gus" in await told(office)


@on_one_engine
async def test_a_cell_that_is_nested_too_deep_is_told_of(office: Office) -> None:
    """As any cell that is no JSON object."""
    deep = '{""a"":' * 5_000 + "1" + "}" * 5_000
    job = await accept(office, "id,attributes", f'ann,"{deep}"', "ben,", media=CSV)
    await work(office)
    assert [line for line, _ in await faults(office, job.id)] == [2]
    assert await told(office) == ["ben"]


@pytest.mark.parametrize(
    ("lines", "media", "match"),
    [
        ([], NDJSON, "no lines"),
        ([" "], NDJSON, "no lines"),
        ([], CSV, "no head"),
        (["id,name"], CSV, "no lines"),
        (["name"], CSV, "one column is `id`"),
        (["id;name"], CSV, "commas"),
        (["id\rann"], CSV, "commas"),
        (["id,nam", "a,"], CSV, "'nam' is none of id, name, email"),
        (["id,id"], CSV, "name of its own"),
        (["id,attributes."], CSV, "name of its own"),
        (["id," + ",".join(f"c{n}" for n in range(100))], CSV, "1 to 100 columns"),
        (['"a"'] * 6, NDJSON, r"limits\.import_lines = 5"),
    ],
)
@on_one_engine
async def test_what_cannot_be_an_import(
    office: Office, lines: list[str], media: str, match: str
) -> None:
    """It is refused at once, and nothing of it stays but the job that would have removed the rest."""
    office.engine.imports._limits = msgspec.structs.replace(office.house.limits, import_lines=5)
    with pytest.raises(Invalid, match=match):
        await accept(office, *lines, media=media)
    assert [await office.count(table) for table in TABLES[:3]] == [0, 0, 0]
    with pytest.raises(Invalid, match="no audience 'none': `PUT /v1/audiences/none` makes it"):
        await accept(office, '"a"', audience="none")


async def test_a_body_that_breaks_off_imports_nobody(office: Office) -> None:
    """Its lines go at once."""
    with pytest.raises(Gone):
        await accept(office, *[f'"u{n}"' for n in range(5)], None)
    office.clock.advance(86_401)
    await work(office)
    assert [await office.count(table) for table in TABLES] == [0, 0, 0, 0]
    assert await told(office) == []


async def test_an_import_goes_on_where_a_process_died(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line is taken once: how far it is stands in the same commit. A job that never succeeds makes it a failed one."""
    job = await accept(office, *[f'"u{n}"' for n in range(5)], "bad")
    take, left = Importer._take, 2

    async def dies(self: Importer, *given: Any) -> Any:
        nonlocal left
        left -= 1
        found = await take(self, *given)
        if left == 0:
            raise RuntimeError("killed before the commit")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Importer, "_take", dies)
        with pytest.raises(RuntimeError):
            await work(office)
    assert (await office.engine.imports.find("default", job.id)).done == 2
    office.clock.advance(31)
    [claimed] = await office.queue.claim(1)
    await office.queue.fail(claimed, "cannot", is_final=True)
    assert (await office.engine.imports.find("default", job.id)).state == "failed"
    await office.queue.replay("default", job.id)
    await work(office)
    job = await office.engine.imports.find("default", job.id)
    assert (job.state, job.done, job.failed) == ("done", 6, 1)
    assert await told(office) == [f"u{n}" for n in range(5)]


async def test_an_import_can_be_called_off(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two parts; who was taken stays, and what is left of the lines goes."""
    job = await accept(office, *[f'"u{n}"' for n in range(6)])
    imports = office.engine.imports
    [work_] = await office.queue.claim(1)
    assert await office.engine.importer._take_part("default", job.id)
    assert (await imports.cancel("default", job.id)).state == "cancelled"
    await office.engine.importer.carry_out(work_)
    assert await told(office) == ["u0", "u1"]
    assert await office.count("import_part") == 0
    done = await accept(office, '"x"')
    await office.queue.finish(work_)
    await work(office)
    with pytest.raises(Conflict):
        await imports.cancel("default", done.id)
    for unknown in (imports.find, imports.cancel):
        with pytest.raises(NotFound):
            await unknown("default", "none")
        with pytest.raises(NotFound):
            await unknown("other", done.id)
    with pytest.raises(NotFound):
        await faults(office, "none")


@on_one_engine
async def test_an_import_whose_job_was_dropped(office: Office) -> None:
    """It has failed, and does not look as if it went on for ever; called off, its lines go."""
    job = await accept(office, *[f'"u{n}"' for n in range(6)])
    [claimed] = await office.queue.claim(1)
    await office.queue.finish(claimed)
    imports = office.engine.imports
    assert (await imports.find("default", job.id)).state == "failed"
    assert (await imports.cancel("default", job.id)).state == "cancelled"
    assert await office.count("import_part") == 0


async def test_the_same_lines_with_the_same_key_are_one_import(office: Office) -> None:
    """Other lines, or another audience, are a conflict; of neither anything stays."""
    await office.engine.audiences.put("default", "vip", AudienceDefinition())
    first = await accept(office, '"a"', key="k")
    assert (await accept(office, '"a"', key="k")).id == first.id
    for more in ({"key": "k", "audience": "vip"}, {"key": "k", "media": CSV}):
        with pytest.raises(IdempotencyConflict):
            await accept(office, "id", '"a"', **more)
    assert [await office.count(table) for table in TABLES[:3]] == [1, 0, 1]


async def test_an_audience_that_is_deleted_meanwhile(office: Office) -> None:
    """People become known, and the report says of each line that they could not be put in."""
    await office.engine.audiences.put("default", "vip", AudienceDefinition())
    job = await accept(office, '"a"', '"b"', audience="vip")
    await office.engine.audiences.delete("default", "vip")
    await work(office)
    assert [line for line, _ in await faults(office, job.id)] == [1, 2]
    assert await told(office) == ["a", "b"]


@on_one_engine
async def test_old_imports_are_forgotten(office: Office) -> None:
    """After `limits.run_days`, with what they have told; of many faults the first are told, and all are counted."""
    imports = office.engine.imports
    limits = msgspec.structs.replace(office.house.limits, import_faults=3, run_days=1)
    imports._limits = office.engine.importer._limits = limits
    job = await accept(office, *["bad"] * 8)
    await work(office)
    assert [line for line, _ in await faults(office, job.id)] == [1, 2, 3]
    assert (await imports.find("default", job.id)).failed == 8
    assert sum([count async for count in imports.purge()]) == 0
    office.clock.advance(86_401)
    assert sum([count async for count in imports.purge()]) == 4
    assert [await office.count(table) for table in TABLES] == [0, 0, 0, 0]
