"""All nodes behind a balancer are restarted one after the other, and one is killed, while hundreds of sockets and requests are under way."""

from pathlib import Path

from tests.chaos.rolling import Plan, run
from tests.support.services import Postgres

# The notice is longer than nginx keeps connections.
SHORT = Plan(
    nodes=2,
    sockets=200,
    requests=60,
    triggers=6,
    publications=30,
    restarts=2,
    kills=(0,),
    notice_s=3.5,
)


async def test_no_request_fails_and_no_socket_misses_anything(
    tmp_path: Path, postgres: Postgres
) -> None:
    """While nodes are told to end and come back, every request is done with its first try, and each socket reconnects, recovers all, and is told why it had to.

    A node that is killed costs what was in its hands one retry. Nobody is said to have left, inboxes are exact, and clients come to the other node evenly.
    """
    said: list[str] = []
    outcome = await run(SHORT, tmp_path, postgres, said.append)
    assert outcome.wrong == [], said
    assert outcome.requests > 300
    assert outcome.at_once > 0.99 * outcome.requests
