"""The event door: events, connects and disconnects go to the application's HTTP endpoint, whose answers are acks and actions."""

from clarion.features.upstream.caller import Caller
from clarion.features.upstream.routes import DISCONNECT_JOB, Routes
from clarion.features.upstream.wire import Answer, Request

__all__ = ["DISCONNECT_JOB", "Answer", "Caller", "Request", "Routes"]
