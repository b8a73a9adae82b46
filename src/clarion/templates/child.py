"""A worker process: takes jobs from a socket, and dies of what takes too long or too much.

It starts as a fresh interpreter with an empty environment: it has no secret and no connection but the one to its parent. Memory is
bound by RLIMIT_AS; each text by a timer of CPU time whose signal ends the process, whatever it is just doing, so that a busy
machine kills no innocent. It ends with its parent, whose end closes the socket.
"""

import resource
import signal
import socket
import struct
from typing import Final

import msgspec

from clarion.clock import SystemClock
from clarion.templates.bench import Bench, Item, read_job

FILES: Final = 32
FLUSH_S: Final = 0.02
HEAD: Final = struct.Struct("!I")


def main(fd: int, fuel: int, output: int, memory: int, cpu_s: float, turn_s: float) -> None:
    """Work until the parent has gone. An empty answer says that it is free: at the start, and when a job's turn is over.

    Args:
        fd: The socket.
        fuel: Instructions of one text.
        output: Characters of one text.
        memory: Bytes of address space.
        cpu_s: CPU time of one text.
        turn_s: After so long the rest of a job is left, for others wait.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent
    bench, now = Bench(fuel, output), SystemClock().monotonic
    encode = msgspec.msgpack.Encoder().encode
    stream = socket.socket(fileno=fd).makefile("rwb")
    stream.write(HEAD.pack(0))
    stream.flush()
    while head := stream.read(HEAD.size):
        job = read_job(stream.read(HEAD.unpack(head)[0]))
        if job.forget:
            bench.forget()
        bench.learn(job.learn)
        began = flushed = now()
        todo: list[Item | str] = [*job.items, *job.checks]
        for each in todo:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)
            answer = bench.check(each) if isinstance(each, str) else bench.render(job, each)
            data = encode(answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
            stream.write(HEAD.pack(len(data)) + data)
            at = now()
            if job.is_careful or at - flushed > FLUSH_S:
                stream.flush()
                flushed = at
            if at - began > turn_s:
                break
        stream.write(HEAD.pack(0))
        stream.flush()
