"""Durable work for everyone: a queue in the store, and the worker that runs it."""

from clarion.jobs.queue import Job, Queue
from clarion.jobs.worker import Worker

__all__ = ["Job", "Queue", "Worker"]
