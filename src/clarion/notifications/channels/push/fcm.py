"""Firebase Cloud Messaging, HTTP v1: messages to Android, and to whatever else an application registers there.

The service account's key signs a wish for an access token (RFC 7523), which is kept until shortly before it ends.
"""

import asyncio
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import jwt
import msgspec
from msgspec import Struct

from clarion.clock import Clock
from clarion.errors import SettingsError
from clarion.notifications.channels.base import NotSent, Outgoing, Sent
from clarion.notifications.channels.push.base import (
    Gone,
    Unwelcome,
    push_of,
    retry_after_s,
    words,
)
from clarion.notifications.channels.push.content import fcm_message
from clarion.notifications.channels.push.encryption import MAX_BODY
from clarion.outbound import Answer, Outbound

URL: Final = "https://fcm.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S: Final = 3_600
EARLY_S: Final = 120.0  # before its end an access token is asked for anew
ANSWER_BYTES: Final = 64 * 1024


class Account(Struct, frozen=True):
    """What of a service account's file is needed."""

    project_id: str
    client_email: str
    private_key: str
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105  where to ask for one


class _Token(Struct, frozen=True):
    access_token: str
    expires_in: int = 3_600


class _Detail(Struct, frozen=True):
    errorCode: str = ""
    fieldViolations: list[dict[str, Any]] = []


class _Error(Struct, frozen=True):
    message: str = ""
    status: str = ""
    details: list[_Detail] = []


class _Answer(Struct, frozen=True):
    name: str = ""
    error: _Error | None = None


def read_account(path: Path, setting: str) -> Account:
    """Read a service account's file.

    Raises:
        SettingsError: There is none, or it is no service account's.
    """
    try:
        account = msgspec.json.decode(path.read_bytes(), type=Account)
        jwt.encode({}, account.private_key, algorithm="RS256")
    except OSError as exc:
        raise SettingsError(f"{setting}: {path} can't be read: {exc.strerror}") from exc
    except (msgspec.DecodeError, jwt.PyJWTError, ValueError, TypeError):
        # Without the cause: it could quote the key.
        raise SettingsError(f"{setting}: {path} is not the JSON key of a service account") from None
    return account


class Fcm:
    """Hands messages to FCM.

    Args:
        name: In records and metrics.
        account: Signs in.
        outbound: The guarded door to the outside.
        clock: When tokens end.
        timeout_s: For an answer.
        url: Where FCM is.
    """

    def __init__(
        self,
        name: str,
        account: Account,
        outbound: Outbound,
        *,
        clock: Clock,
        timeout_s: float,
        url: str = URL,
    ) -> None:
        self.name = name
        self._account, self._outbound, self._clock = account, outbound, clock
        self._timeout_s, self._url = timeout_s, url.rstrip("/")
        self._token, self._until_s = "", 0.0
        self._asking = asyncio.Lock()

    async def send(self, message: Outgoing) -> Sent:
        """Hand a message over.

        Raises:
            NotSent: It was not taken.
            Unavailable: No answer.
        """
        push = push_of(message)
        body = fcm_message(push.said, push.report, push.device.address)
        shown = {name: body["message"][name] for name in ("notification", "data")}
        if (size := len(msgspec.json.encode(shown))) > MAX_BODY:
            why = f"{size} bytes for FCM, {MAX_BODY} are allowed"
            raise NotSent(why, provider=self.name, is_final=True)
        token = await self._access()
        answer = await self._post(token, body)
        if answer.status == 401 and _error(answer)[0] != "THIRD_PARTY_AUTH_ERROR":
            # It was revoked, or our clock is wrong: once more with a new one.
            self._until_s = 0.0
            answer = await self._post(await self._access(), body)
        return self._read(answer)

    async def _post(self, token: str, body: dict[str, Any]) -> Answer:
        return await self._outbound.request(
            "POST",
            f"{self._url}/v1/projects/{self._account.project_id}/messages:send",
            {"authorization": f"Bearer {token}", "content-type": "application/json"},
            msgspec.json.encode(body),
            max_bytes=ANSWER_BYTES,
            deadline_s=self._timeout_s,
        )

    def _read(self, answer: Answer) -> Sent:
        if answer.status == 200:
            return Sent(self.name, _decoded(answer).name)
        code, detail = _error(answer)
        why = f"{answer.status} {code}: {detail}".strip(": ")
        if code in ("UNREGISTERED", "SENDER_ID_MISMATCH"):
            raise Gone(why, provider=self.name)
        if code == "INVALID_ARGUMENT":
            # The token, or the message: only where FCM points at the token is it the device's.
            fields = [
                each.get("field")
                for found in (_decoded(answer).error or _Error()).details
                for each in found.fieldViolations
            ]
            if "message.token" in fields:
                raise Gone(why, provider=self.name)
            raise Unwelcome(why, provider=self.name)
        if answer.status in (401, 403):
            # The account's, or the project's: every message would be refused.
            raise NotSent(why, provider=self.name)
        if answer.status == 429 or answer.status >= 500:
            wait_s = retry_after_s(answer.header("retry-after"), self._clock)
            raise NotSent(why, provider=self.name, retry_after_s=wait_s)
        raise Unwelcome(why, provider=self.name)

    async def _access(self) -> str:
        async with self._asking:
            now_s = self._clock.now_ms() / 1000
            if now_s < self._until_s <= now_s + ASSERTION_S:
                return self._token
            account = self._account
            claims = {
                "iss": account.client_email,
                "scope": SCOPE,
                "aud": account.token_uri,
                "iat": int(now_s),
                "exp": int(now_s) + ASSERTION_S,
            }
            signed = jwt.encode(
                claims,
                account.private_key,
                algorithm="RS256",
                headers={"kid": account.private_key_id} if account.private_key_id else None,
            )
            answer = await self._outbound.request(
                "POST",
                account.token_uri,
                {"content-type": "application/x-www-form-urlencoded"},
                urlencode({"grant_type": GRANT, "assertion": signed}).encode(),
                max_bytes=ANSWER_BYTES,
                deadline_s=self._timeout_s,
            )
            if answer.status != 200:
                host = urlsplit(account.token_uri).hostname
                raise NotSent(
                    f"{host} gives no access token: {answer.status} {words(answer.body)}",
                    provider=self.name,
                    retry_after_s=retry_after_s(answer.header("retry-after"), self._clock),
                )
            try:
                given = msgspec.json.decode(answer.body, type=_Token)
            except (ValueError, RecursionError) as exc:
                raise NotSent("the access token can't be read", provider=self.name) from exc
            lives_s = min(max(given.expires_in - EARLY_S, 1.0), ASSERTION_S)
            self._token, self._until_s = given.access_token, now_s + lives_s
            return self._token


def _decoded(answer: Answer) -> _Answer:
    try:
        return msgspec.json.decode(answer.body, type=_Answer)
    except (ValueError, RecursionError):  # a proxy's page, say: the status alone is told
        return _Answer()


def _error(answer: Answer) -> tuple[str, str]:
    """FCM's own code, else the general one, and the words beside it."""
    error = _decoded(answer).error
    if error is None:
        return "", words(answer.body)
    code = next((each.errorCode for each in error.details if each.errorCode), error.status)
    return code, error.message[:200]
