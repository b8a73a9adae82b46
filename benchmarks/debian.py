"""Programs out of Debian's packages, unpacked into a folder of ours: no rights are needed, and no service starts."""

import os
import re
import shutil
import subprocess
from pathlib import Path


class NotAvailable(Exception):
    """What a peer needs can't be had here; the text says what and why."""


def unpack(folder: Path, *packages: str) -> None:
    """Download packages and unpack them, unless they are there already.

    Raises:
        NotAvailable: No Debian, or no such package.
    """
    done = folder / "unpacked"
    if done.exists():
        return
    if shutil.which("apt-get") is None:
        raise NotAvailable("it is taken from Debian's packages, and this is no Debian")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _download(folder, packages)
    except NotAvailable:
        if os.geteuid():
            raise
        subprocess.run(["apt-get", "update", "-qq"], check=False, timeout=120)
        _download(folder, packages)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        package.unlink()
    done.touch()


def with_dependencies(packages: tuple[str, ...], *, only: str) -> tuple[str, ...]:
    """The packages and those that they depend on whose names match `only`."""
    command = ["apt-cache", "depends", "--recurse", "--important", *packages]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return tuple(sorted({line for line in listed.splitlines() if re.match(only, line)}))


def _download(folder: Path, packages: tuple[str, ...]) -> None:
    command = ["apt-get", "download", "-qq", *packages]
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=180
    )
    if ran.returncode:
        raise NotAvailable(f"apt-get download: {ran.stderr.strip().splitlines()[-1]}")
