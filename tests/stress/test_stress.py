"""The scenarios of `make stress`, one round of each."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.stress.harness import Servers, play
from tests.stress.scenarios import SCENARIOS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    """Servers that the scenarios share."""
    async with Servers() as made:
        yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_what_each_scenario_promises_holds(servers: Servers, name: str) -> None:
    """Counts, order, close codes and reasons come out exactly, and nothing is left on the server."""
    await play(servers, name, SCENARIOS[name], seed=1, seconds=0)
