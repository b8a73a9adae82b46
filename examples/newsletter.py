"""A newsletter for many: `CLARION_KEY=clk_… python examples/newsletter.py`. An import of an audience, then a send line by line, and what became of both."""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

NEWS = {"workflow": "newsletter", "steps": [{"inbox": {"title": "News of {{ payload.month }}"}}]}
READERS = "id,email,attributes.plan\r\nann,ann@example.org,pro\r\nben,no address,free\r\n"


def lines(count: int) -> Iterator[str]:
    """The trigger, then a recipient on each line; made while it is sent."""
    yield json.dumps({"payload": {"month": "May"}})
    for n in range(count):
        yield json.dumps({"id": f"reader-{n}", "email": f"{n}@example.org"})


async def pieces(texts: Iterator[str]) -> AsyncIterator[bytes]:
    """Some hundred lines at a time: a chunk for each would be refused as an attack."""
    while some := list(itertools.islice(texts, 500)):
        yield "".join(f"{text}\n" for text in some).encode()


async def until_over(http: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """A job at its end."""
    while True:
        job: dict[str, Any] = (await http.get(path)).json()
        if job["state"] != "running":
            return job
        await asyncio.sleep(0.1)


async def main() -> None:
    headers = {"authorization": f"Bearer {os.environ['CLARION_KEY']}"}
    async with httpx.AsyncClient(base_url="http://127.0.0.1:8000", headers=headers) as http:
        await http.put("/v1/workflows/newsletter", json=NEWS)
        await http.put("/v1/audiences/readers", json={})

        answer = await http.post(
            "/v1/imports?audience=readers", content=READERS, headers={"content-type": "text/csv"}
        )
        job = await until_over(http, f"/v1/imports/{answer.json()['id']}")
        print(job["done"], "lines,", job["failed"], "not taken:")
        failures = await http.get(f"/v1/imports/{job['id']}/failures")
        for line in failures.text.splitlines():
            print(" ", json.loads(line)["line"], json.loads(line)["reason"])

        answer = await http.post(
            "/v1/workflows/newsletter/triggers",
            content=pieces(lines(2_000)),
            headers={"content-type": "application/x-ndjson", "idempotency-key": "newsletter-may"},
        )
        job = await until_over(http, f"/v1/triggers/{answer.json()['id']}/progress")
        print(job["state"], job["done"], "of", job["total"])


asyncio.run(main())
