"""An acknowledged write survives `kill -9`: guarantee 1."""

import asyncio
import sys
from pathlib import Path

import pytest

from clarion.clock import SystemClock
from clarion.ids import Ids
from clarion.storage import open_store
from clarion.telemetry import spawn
from tests.support.ledger import MIGRATIONS, assert_gapless, lines
from tests.support.services import Postgres

ROOT = Path(__file__).parents[2]
LIVES = 4


async def live_and_die(
    url: str, data_dir: Path, life: int, after_s: float
) -> list[tuple[str, str, int]]:
    """Run the child, kill it some time after its first answer; returns what it was acknowledged."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.storage.kill_child", url, str(data_dir), str(life)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 20,
    )
    assert child.stdout is not None
    # structlog prints to stdout, too, where nothing configures it: only lines of three words count.
    output = await child.stdout.readuntil(b"\n")
    while not output.startswith(b"%d-" % life):
        output = await child.stdout.readuntil(b"\n")
    reading = spawn(child.stdout.read(), name="reading")
    await asyncio.sleep(after_s)
    child.kill()
    output += await reading
    assert await child.wait() == -9
    # The last line may be torn: it was written after its acknowledgement, so leaving it out loses nothing of the proof.
    whole = output.decode().split("\n")[:-1]
    return [(id, book, int(off)) for id, book, off in map(str.split, whole)]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_nothing_acknowledged_is_lost(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """100 callers write, the process is killed at seeded moments, four times over: every acknowledged row is there, at its offset, without gap or double."""
    url = ""
    if engine == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = await server.new_database()
    chance = Ids.seeded(7)
    acknowledged: list[tuple[str, str, int]] = []
    for life in range(LIVES):
        acknowledged += await live_and_die(url, tmp_path, life, chance.uniform(0.02, 0.4))
    store = await open_store(url=url, data_dir=tmp_path, clock=SystemClock(), migrations=MIGRATIONS)
    found = await lines(store)
    await store.close()
    assert len(acknowledged) > 100 * LIVES
    assert set(acknowledged) <= {(line.id, line.book, line.off) for line in found}
    assert_gapless(found)
    # What was written but not acknowledged is at most one call of each caller, each life.
    assert len(found) - len(acknowledged) <= LIVES * (100 + 1)


async def test_a_full_disk_refuses_writes_and_reads_go_on(tmp_path: Path) -> None:
    """A process that may not grow its files (RLIMIT_FSIZE): writes are told StorageFull, everything acknowledged can be read."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.storage.full_disk_child", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    output, _ = await child.communicate()
    assert output.decode().splitlines()[-1] == "as promised"
    store = await open_store(data_dir=tmp_path, clock=SystemClock(), migrations=MIGRATIONS)
    assert (await lines(store))[-1].id == "again"
    await store.close()
