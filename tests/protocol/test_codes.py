"""The table of codes."""

import pytest

from clarion.protocol.codes import CloseCode, EngineError, Reason, advice, rows
from clarion.protocol.frames import may_be_sent


def test_the_range_says_what_to_do() -> None:
    """3000-3499: come back and recover; 3500-3999: stop; what RFC 6455 calls a fault of the sender: fix it."""
    assert {code.name for code in CloseCode if code.advice == "stop"} == {
        "REVOKED",
        "TOKEN_EXPIRED",
        "UNAUTHENTICATED",
        "TOO_MANY_CONNECTIONS",
    }
    for code in CloseCode:
        if code >= 3000:
            assert code.advice == ("recover" if code < 3500 else "stop")
    assert [advice(code) for code in (1000, 1001, 1006, 1009, 1011)] == [
        "recover",
        "recover",
        "recover",
        "fix",
        "recover",
    ]


@pytest.mark.parametrize("code", [3000, 3499, 4000])
def test_a_code_that_is_not_known_means_come_back(code: int) -> None:
    """Tomorrow's codes have advice in today's clients."""
    assert advice(code) == "recover"


@pytest.mark.parametrize("code", [3500, 3999])
def test_an_unknown_terminal_code_means_stop(code: int) -> None:
    """The edges of the range that stops."""
    assert advice(code) == "stop"


def test_codes_that_the_contract_names() -> None:
    """Numbers that clients and documents rely on do not move."""
    named = {code.reason: code.value for code in CloseCode}
    assert named["draining"] == 3001
    assert named["aged"] == 3002
    assert named["slow"] == 3008
    assert named["rate"] == 3009
    assert named["insufficient_state"] == 3010
    assert named["unauthenticated"] == 3502
    assert named["too_many_connections"] == 3505


def test_close_codes_may_be_sent() -> None:
    """Each code that a connection can close with is one that RFC 6455 lets a server send."""
    assert all(may_be_sent(code) for code in CloseCode)


def test_engine_errors_are_nodes() -> None:
    """Numbers and texts are those of engine.io; only a refusal by the application is a 403."""
    assert [(error.value, error.message) for error in EngineError] == [
        (0, "Transport unknown"),
        (1, "Session ID unknown"),
        (2, "Bad handshake method"),
        (3, "Bad request"),
        (4, "Forbidden"),
        (5, "Unsupported protocol version"),
    ]
    assert {error for error in EngineError if error.status != 400} == {EngineError.FORBIDDEN}


def test_disconnect_reasons_are_nodes() -> None:
    """Word for word, and recoverable where connection state recovery may bring the socket back."""
    assert {reason.text for reason in Reason if not reason.recoverable} == {
        "client namespace disconnect",
        "server namespace disconnect",
        "parse error",
    }
    assert {reason.text for reason in Reason if reason.recoverable} == {
        "server shutting down",
        "ping timeout",
        "transport close",
        "transport error",
        "forced close",
        "forced server close",
    }


def test_the_reference_page_has_a_row_for_each() -> None:
    """Every code, error and reason is documented from here, with a sentence that says something."""
    table = list(rows())
    assert len(table) == len(CloseCode) + len(EngineError) + len(Reason)
    assert all(row.meaning and row.advice for row in table)
    assert len({(row.table, row.code) for row in table}) == len(table)
