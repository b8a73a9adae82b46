"""An email to whom was not reached on the page: `CLARION_KEY=clk_… python examples/invoice.py`, with a server that has CLARION_DELIVERY=capture."""

import asyncio
import os
from typing import Any

from clarion.client import AsyncClient

INVOICE = {
    "workflow": "invoice",
    "steps": [
        {"id": "bell", "inbox": {"title": "Invoice {{ payload.number }} is ready"}},
        {"wait": "1s"},
        {"stop": "bell.read"},
        {
            "id": "mail",
            "email": {
                "subject": "Invoice {{ payload.number }}",
                "html": "<p>Hello {{ recipient.name }},</p><p><a href='https://shop.example/i/{{ payload.number }}'>Open it</a>",
                "reply_to": "Accounts <accounts@shop.example>",
                "thread": "customer {{ recipient.id }}",
                "attachments": [
                    {"content": "SW52b2ljZSAxNw==", "filename": "invoice.txt"},
                ],
            },
        },
    ],
}


async def main() -> None:
    async with AsyncClient("http://127.0.0.1:8000", key=os.environ["CLARION_KEY"]) as clarion:
        await clarion.put_workflow(INVOICE)
        await clarion.suppress("ben@example.com", detail="asked us by telephone")
        await clarion.trigger(
            "invoice",
            [
                {"id": "ann", "name": "Ann", "email": "ann@example.com"},
                {"id": "ben", "name": "Ben", "email": "ben@example.com"},
            ],
            {"number": 17},
        )
        kept: list[dict[str, Any]] = []
        async with asyncio.timeout(10):
            while not kept:
                await asyncio.sleep(0.1)
                kept = (await clarion.captures(channel="email"))["items"]
        for message in kept:
            print(message["address"], message["content"]["subject"])


asyncio.run(main())
