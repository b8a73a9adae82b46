"""The metrics of all workers of a host in one answer: each is asked over its local socket, and its samples get its number as a label.

A scraper comes to whichever worker the kernel chooses; counters that jump from one worker's to another's would be of no use.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clarion.telemetry import get_logger

_log = get_logger(__name__)

ANSWER_S: Final = 2.0  # for a worker to answer
_REQUEST: Final = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Siblings:
    """This worker among those of its host.

    Args:
        number: Its own.
        sockets: The others' local sockets, by number.
    """

    def __init__(self, number: int, sockets: Mapping[int, Path]) -> None:
        self._number, self._sockets = number, sockets

    async def metrics(self, own: str) -> str:
        """The metrics of all, given this one's. One that does not answer is missing, and `clarion_workers_scraped` says how many are there."""
        asked = await asyncio.gather(*(self._scrape(path) for path in self._sockets.values()))
        texts = {self._number: own}
        texts |= {n: text for n, text in zip(self._sockets, asked, strict=True) if text}
        return merged(dict(sorted(texts.items())))

    async def _scrape(self, path: Path) -> str:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(path))
                try:
                    writer.write(_REQUEST)
                    answer = await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as exc:
            _log.warning("a worker does not tell its metrics", socket=path.name, error=repr(exc))
            return ""
        head, _, body = answer.partition(b"\r\n\r\n")
        return body.decode() if head.startswith(b"HTTP/1.1 200 ") else ""


def merged(texts: Mapping[int, str]) -> str:
    """Texts in Prometheus' format as one, with the label `worker`.

    A family's samples stand together, as the format wants it.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for number, text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("#"):
                family = line.split(" ", 3)[2]
                if line not in heads.setdefault(family, []):
                    heads[family].append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, number))
    lines = [
        "# HELP clarion_workers_scraped Workers whose metrics these are",
        "# TYPE clarion_workers_scraped gauge",
        f"clarion_workers_scraped {len(texts)}",
    ]
    for family, head in heads.items():
        lines += [*head, *samples.get(family, [])]
    return "\n".join(lines) + "\n"


def _labelled(sample: str, number: int) -> str:
    brace, space = sample.find("{"), sample.index(" ")
    if 0 <= brace < space:
        return f'{sample[: brace + 1]}worker="{number}",{sample[brace + 1 :]}'
    return f'{sample[:space]}{{worker="{number}"}}{sample[space:]}'
