"""The process that starts the others, where it cannot."""

import signal
import subprocess
import sys

REFUSED = """
import os
from clarion.cli.supervisor import Supervisor
from clarion.settings import Settings

fork, calls = os.fork, []

def refused_once():
    calls.append(1)
    if len(calls) == 2:
        raise BlockingIOError(11, "no process is free")
    return fork()

def work(number, is_first):
    os.write(1, b"%d\\n" % number)
    os.read(server.stop_with, 1)

os.fork = refused_once
server = Supervisor(Settings(), [[], []], work, None)
raise SystemExit(server.run())
"""


def test_a_process_that_cannot_be_started_is_started_later() -> None:
    """Where the system has no process to give, those that run go on, and the missing one comes when there is; then all end in order."""
    running = subprocess.Popen([sys.executable, "-c", REFUSED], stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert sorted(running.stdout.readline() for _ in range(2)) == [b"0\n", b"1\n"]
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    running.stdout.close()


TOLD = """
import os, signal
from clarion.cli.supervisor import Supervisor
from clarion.settings import Settings

fork, calls = os.fork, []

def told_at_once():
    calls.append(1)
    pid = fork()
    if pid == 0 and len(calls) == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return pid

def work(number, is_first):
    os.write(1, b"%d\\n" % len(calls))
    os.read(server.stop_with, 1)

os.fork = told_at_once
server = Supervisor(Settings(), [[]], work, None)
raise SystemExit(server.run())
"""


def test_a_process_that_is_told_to_stop_in_its_first_moment_ends() -> None:
    """Before it has handlers of its own it must not take the word for its parent's, and work on: a start that fails would wait for it."""
    running = subprocess.Popen([sys.executable, "-c", TOLD], stdout=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == b"2\n"
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    running.stdout.close()
