"""Real neighbours for the tests, started privately and ended with them."""

import contextlib
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

_count = itertools.count(1)
# Tables that have rows are few: to truncate all would take as long as the migrations do.
_EMPTY = """DO $$ DECLARE t text; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migration'
  LOOP EXECUTE format('DELETE FROM %I', t); END LOOP; END $$"""


class Postgres:
    """A PostgreSQL server of our own on a Unix socket; no port, no password, gone at the end.

    Args:
        fsync: Off makes tests faster and is safe as long as only clients are killed, not the machine.
        settings: More lines of its configuration, which win.
    """

    def __init__(self, *, fsync: bool = False, settings: str = "") -> None:
        # Not in the tests' own folder: a socket's path may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="clarion-pg-", dir="/tmp"))
        self._prefix: list[str] = []
        # Databases that were used before, and emptied.
        self._spare: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._folder, "postgres")
            self._prefix = ["runuser", "-u", "postgres", "--"]
        self._folder.chmod(0o755)
        self._bin = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        self._run(
            "initdb",
            "-D",
            self._data,
            "-U",
            "clarion",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        )
        with (self._folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self._folder}'\nfsync = {'on' if fsync else 'off'}\n"
                "shared_buffers = 32MB\nmax_connections = 60\nfull_page_writes = off\nautovacuum = off\n"
                f"{settings}\n"
            )
        # Ends the server when this process closes the pipe or is gone, even if it was killed. Nobody waits for the deletion.
        stop = shlex.join(
            [*self._prefix, str(self._bin / "pg_ctl"), "-D", self._data, "-m", "immediate", "stop"]
        )
        self._cleaner = subprocess.Popen(
            ["sh", "-c", f"read _; {stop}; rm -rf {shlex.quote(str(self._folder))} &"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        self.start()

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._run("pg_ctl", "-D", self._data, "-w", "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` cuts connections, `immediate` is a crash."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def pause(self) -> None:
        """Stop it where it stands: connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        first = (self._folder / "data" / "postmaster.pid").read_text().split()[0]
        forked = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for pid in (first, *forked):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), what)

    def url(self, database: str) -> str:
        """Where a database is."""
        return f"postgresql://clarion@/{database}?host={self._folder}"

    async def new_database(self) -> str:
        """A fresh, empty database; returns its URL."""
        name = f"t{os.getpid()}_{next(_count)}"
        db = await asyncpg.connect(self.url("postgres"))
        try:
            await db.execute(f"CREATE DATABASE {name}")
        finally:
            await db.close()
        return self.url(name)

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """A database without any rows, whose tables may be there already: migrations take most of the time of a short test. For tests that leave tables as they are."""
        url = self._spare.pop() if self._spare else await self.new_database()
        yield url
        db = await asyncpg.connect(url)
        try:
            await db.execute(_EMPTY)
        finally:
            await db.close()
        self._spare.append(url)

    def remove(self) -> None:
        """Stop it; its files are deleted soon after."""
        assert self._cleaner.stdin is not None
        self._cleaner.stdin.close()
        self._cleaner.wait()

    def _run(self, command: str, *args: str) -> None:
        done = subprocess.run(
            [*self._prefix, str(self._bin / command), *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command} failed: {done.stderr.decode()}")
