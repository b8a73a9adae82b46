"""What something costs, counted: bytes and calls, never seconds."""

import asyncio
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any


def peak_bytes(run: Callable[[], object]) -> int:
    """How many bytes more than before were allocated at once while it ran."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def calls(run: Callable[[], object]) -> int:
    """How many functions were called, of Python and of C."""
    count = 0

    def profile(frame: FrameType, event: str, _: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


def tasks() -> int:
    """Tasks of the running loop."""
    return len(asyncio.all_tasks())
