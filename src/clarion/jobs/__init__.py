"""Durable work for everyone: a queue in the store, the worker that runs it, and leases for what one node does alone."""

from clarion.jobs.leases import Lease, Leases
from clarion.jobs.loop import Loop
from clarion.jobs.queue import Job, Queue
from clarion.jobs.worker import Worker

__all__ = ["Job", "Lease", "Leases", "Loop", "Queue", "Worker"]
