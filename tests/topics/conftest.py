"""What tests of topics have in common. Announcements that are lost are missed at once here: what is overtaken has a test of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from clarion.topics import repairs
from tests.topics.fakes import Bench
from tests.topics.house import House


@pytest.fixture(autouse=True, scope="package")
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repairs, "OVERTAKEN_S", 0)
        yield


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.engine.close()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    yield made
    await made.topics.close()
    await made.bench.engine.close()
