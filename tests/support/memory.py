"""What memory a process holds: what the system gave it, and what of that is in use.

The first is what people see and pay for, but it tells of the allocator as much as of the program: freed memory stays, in pieces, and is
used again. The second is exact. An object of Python up to 512 bytes is a block; everything larger, and what C and C++ allocate, comes
from malloc.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_FIELDS = [
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
]


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2`, glibc from 2.33 on; malloc.h."""

    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def memory() -> Iterator[tuple[str, float]]:
    """Names and values: `rss` and `uss`, bytes resident and private; `blocks`, a number; `heap`, bytes of malloc's that are in use."""
    page = os.sysconf("SC_PAGE_SIZE")
    yield "rss", int(Path("/proc/self/statm").read_text().split()[1]) * page
    private = 0
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean", "Private_Dirty")):
            private += int(line.split()[1]) * 1024
    yield "uss", private
    yield "blocks", sys.getallocatedblocks()
    info = _mallinfo()
    # Of the heaps, and mapped each by itself.
    yield "heap", info.uordblks + info.hblkhd


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _Mallinfo
