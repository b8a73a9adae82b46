"""All scenarios, by name; those that want the same server follow each other."""

from tests.stress.coming_and_going import connect_churn, no_pong
from tests.stress.harness import Scenario
from tests.stress.house import expired_token, many_rooms
from tests.stress.races import races
from tests.stress.recovering import recovery_storm
from tests.stress.refusals import malformed_protocol, oversized_frames
from tests.stress.traffic import mixed_traffic, slow_client

SCENARIOS: dict[str, Scenario] = {
    each.__name__.replace("_", "-"): each
    for each in (
        connect_churn,
        mixed_traffic,
        slow_client,
        oversized_frames,
        malformed_protocol,
        races,
        no_pong,
        recovery_storm,
        expired_token,
        many_rooms,
    )
}
