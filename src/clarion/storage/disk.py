"""What a power cut must not take."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file, or what names stand in a folder, on the disk: a file that was renamed can be lost with its name.

    Raises:
        OSError: The disk failed.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
