"""What both clients know: where the server is, as whom they speak, how patient they are."""

from pathlib import Path
from typing import Any, TypeVar

import httpx

from clarion.client import calls
from clarion.client.calls import ApiError, Call
from clarion.errors import Closed, UsageError
from clarion.ids import Ids

T = TypeVar("T")

# InvalidURL: a query can be too long to be sent.
UNANSWERED = (httpx.RequestError, httpx.InvalidURL)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Base:
    """The part of a client that does no I/O."""

    _http: httpx.Client | httpx.AsyncClient

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        socket: Path | None = None,
        timeout_s: float = 10.0,
        retries: int = 3,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: Where the server is.
            key: An API key (`clk_…`) or an access token.
            socket: The server's local socket (`data/clarion.sock`) instead of a key: its owner may do anything.
            timeout_s: For one try (s).
            retries: How often a call is repeated that met a refusal for lack of room or no answer. A repetition carries
                the same Idempotency-Key, so it has one effect; events have none, and are not repeated where no answer came.

        Raises:
            clarion.errors.UsageError: `url` or `key` cannot be one.
        """
        if key is not None and not (key.isascii() and key.isprintable()):
            raise UsageError("key: this is no API key")  # and is not shown: it may be most of one
        self._options: dict[str, Any] = {
            "base_url": _address(url),
            "timeout": timeout_s,
            "headers": {"authorization": f"Bearer {key}"} if key else {},
        }
        self._socket = str(socket) if socket else None
        self._where = self._socket or url
        self._retries = retries
        self._ids = Ids()
        self._is_closed = False

    def _request(self, call: Call[T]) -> dict[str, Any]:
        self._check_open()
        return {
            "method": call.method,
            "url": call.path,
            # As the bytes that they are on the way: what cannot stand there is the server's to say.
            "headers": {name: value.encode() for name, value in call.headers.items()},
        } | ({"content": call.content()} if call.content else {"json": call.body})

    def _check_open(self) -> None:
        if self._is_closed or self._http.is_closed:
            raise Closed("this client was closed: make another")

    def _check_media(self, call: Call[bytes], response: httpx.Response) -> None:
        media = response.headers.get("content-type", "").partition(";")[0]
        if media != call.headers["accept"]:
            raise calls.not_clarion(response.status_code, self._where)

    def _unreachable(self, exc: Exception) -> ApiError:
        said = str(exc) or type(exc).__name__
        return ApiError(0, {"detail": f"no answer from {self._where}: {said}"})

    def _wait(self, status: int, content: bytes, attempt: int) -> float | None:
        if attempt > self._retries:
            return None
        return calls.wait_before_retry(status, content, attempt, self._ids.uniform(0, 1))

    def _wait_unanswered(self, call: Call[T], exc: Exception, attempt: int) -> float | None:
        # Who could not even connect has sent nothing.
        may_be_repeated = call.is_repeatable or isinstance(exc, _NOT_SENT)
        is_of_the_way = isinstance(exc, httpx.TransportError)  # and not of what was asked
        return self._wait(0, b"", attempt) if is_of_the_way and may_be_repeated else None

    def _key(self, given: str | None) -> str:
        return given or self._ids.token()


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
        address.host.encode("idna")  # as a socket does, too late to be told from other mistakes
    except (httpx.InvalidURL, UnicodeError):
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise UsageError(f"url: {url[:200]!r} is not an http:// or https:// address")
    return address
