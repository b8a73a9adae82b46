"""Channels: who carries them, and what they may."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Webhook(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages that are posted to the endpoints of subscribers."""

    networks: Annotated[
        list[str],
        about(
            "Networks that are not public in which endpoints may be (`10.1.2.0/24`); with any of them, `http://` is allowed"
        ),
    ] = []
    ports: Annotated[
        list[int], about("Ports on which endpoints may be called; empty: 443 and 8443")
    ] = []
    timeout_s: Annotated[float, about("For an endpoint's answer (s)", ge=0.1, le=60)] = 15.0
    max_attempts: Annotated[int, about("After so many a message is a dead letter", ge=1, le=30)] = (
        10
    )
    concurrency: Annotated[
        int, about("Messages that are posted at a time, in each process", ge=1, le=10_000)
    ] = 64
    per_host: Annotated[int, about("Of them to one host", ge=1)] = 4
    failures: Annotated[
        int, about("After so many failures in a row a host is left alone for a while", ge=1)
    ] = 5


class Sms(Struct, frozen=True, forbid_unknown_fields=True):
    """Text messages."""

    providers: Annotated[
        list[str],
        about(
            "Who carries them, in the order in which they are asked: `twilio://SID:TOKEN@+1555…`"
        ),
    ] = []
    max_segments: Annotated[
        int, about("Segments of one message; a longer one is not sent", ge=1, le=100)
    ] = 10
    stop_words: Annotated[
        list[str],
        about(
            "Who answers with one of these words gets no more, beside STOP, STOPALL, UNSUBSCRIBE, CANCEL, END, QUIT, REVOKE, OPTOUT; in any case of letters"
        ),
    ] = []
    start_words: Annotated[
        list[str], about("Who answers with one of these gets them again, beside START, UNSTOP, YES")
    ] = []


class Chat(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages to chats and other services, by Apprise."""

    services: Annotated[
        list[str],
        about(
            "Only these of Apprise's services, by their schema (`slack`); empty: well-known ones, each with a fixed host. One whose URL names the host (`mmost`) may lead to private networks"
        ),
    ] = []
    concurrency: Annotated[
        int, about("Messages in hand at a time, in each process", ge=1, le=64)
    ] = 8
    timeout_s: Annotated[float, about("For a service's answer (s)", ge=0.1, le=100)] = 30.0
