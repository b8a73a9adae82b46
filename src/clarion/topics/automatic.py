"""Subscriptions that a token asks for (its claim `subscribe`): made when a socket connects, and told by the event `subscribed`."""

import msgspec

from clarion.auth.principal import Principal
from clarion.errors import Conflict, Internal, PeerError, ServerError
from clarion.telemetry import get_logger
from clarion.topics.arguments import SubscribeArgs, check_name
from clarion.topics.engine import TopicEngine
from clarion.topics.live import Peer

_log = get_logger(__name__)


async def subscribe_all(
    engine: TopicEngine, socket: Peer, principal: Principal, name_bytes: int
) -> None:
    """Subscribe a socket to the topics that its token lists, one after the other.

    Of each it is told what the ack of `subscribe` would say; of one that it cannot have, `{topic, error}`. A topic to which the
    client has subscribed, or unsubscribes, by itself meanwhile is the client's affair.
    """
    for name in principal.subscribe:
        if not socket.connected:
            return
        try:
            check_name("topic", name, name_bytes)
            wish = SubscribeArgs(name)
            answer, subscription = await engine.subscribe(
                socket, principal, wish, unless_there=True
            )
        except Conflict:
            continue
        except (PeerError, ServerError) as exc:
            engine.tell(socket, "subscribed", {"topic": name, "error": exc.as_answer()})
        except Exception:  # noqa: BLE001  a bug of one kind must not keep the others
            _log.exception("subscription of a token failed")
            engine.tell(socket, "subscribed", {"topic": name, "error": Internal().as_answer()})
        else:
            engine.tell(socket, "subscribed", msgspec.to_builtins(answer))
            engine.go(subscription)
