"""The files that go with an email: given, or fetched from where they are, and bounded before they are read whole."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from clarion.errors import OutboundRefused, Unavailable
from clarion.notifications.channels.base import NotSent
from clarion.notifications.channels.email.content import Attachment, decoded
from clarion.notifications.channels.email.mime import File
from clarion.outbound import Outbound
from clarion.telemetry import limit_exceeded

REDIRECTS: Final = 3
FETCH_S: Final = 10.0


class Files:
    """Gets attachments.

    Args:
        outbound: The guarded door to the outside.
        most: Files of one email.
        most_bytes: Of all of them together.
    """

    def __init__(self, outbound: Outbound, *, most: int, most_bytes: int) -> None:
        self._outbound, self._most, self._most_bytes = outbound, most, most_bytes

    async def get(self, attachments: Sequence[Attachment]) -> list[File]:
        """All of them.

        Raises:
            NotSent: There are too many, they are too large, or one may not be had; not finally where it can't be had now.
        """
        if len(attachments) > self._most:
            raise self._too_much("attachments", f"{len(attachments)} attachments, {self._most} are allowed")  # fmt: skip
        left, files = self._most_bytes, []
        for each in attachments:
            file = await self._file(each, left)
            left -= len(file.data)
            if left < 0:
                raise self._too_much("attachment_bytes", f"the attachments exceed {self._most_bytes:,} bytes")  # fmt: skip
            files.append(file)
        return files

    async def _file(self, attachment: Attachment, left: int) -> File:
        if not attachment.url:
            data = decoded(attachment.content)
            return File(attachment.filename, attachment.type, data, attachment.cid)
        where = urlsplit(attachment.url)
        try:
            answer = await self._outbound.request(
                "GET", attachment.url, max_bytes=left + 1, deadline_s=FETCH_S, redirects=REDIRECTS
            )
        except OutboundRefused as exc:
            raise NotSent(f"attachment: {exc}", provider="", is_final=True) from exc
        except Unavailable as exc:
            raise NotSent(f"attachment: {exc}", provider="", is_providers=False) from exc
        if answer.status != 200:
            is_final = 400 <= answer.status < 500 and answer.status not in (408, 425, 429)
            why = f"attachment: {where.hostname} answered {answer.status}"
            raise NotSent(why, provider="", is_final=is_final, is_providers=False)
        name = attachment.filename or unquote(where.path.rpartition("/")[2])
        kind = attachment.type or answer.header("content-type") or ""
        return File(name[:255], kind, answer.body, attachment.cid)

    @staticmethod
    def _too_much(limit: str, why: str) -> NotSent:
        limit_exceeded.labels(f"email.{limit}").inc()
        return NotSent(f"{why} (email.{limit})", provider="", is_final=True)
