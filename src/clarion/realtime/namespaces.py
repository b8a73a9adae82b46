"""Which namespaces a server has: those that the application named, and those that its parents make when a client asks.

A child goes when its last client has gone, one in its middlewares included, so that made-up names cost nothing for long; how many
clients can make is bounded, too. A child that the application makes, by asking for its name before any client does, is its own, and stays.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

from clarion.errors import PeerError, TooMany, UnknownNamespace
from clarion.protocol import socketio
from clarion.realtime.handlers import Runner
from clarion.realtime.namespace import Namespace
from clarion.realtime.parent import Match, ParentNamespace
from clarion.realtime.peers import Peers
from clarion.telemetry import limit_exceeded

Found = Callable[[Namespace | PeerError], None]
"""Told which namespace a client may ask to be let into, or why none."""


class Maker(Protocol):
    """Makes namespaces for the registry."""

    def make_namespace(self, name: str) -> Namespace:
        """One of this name, as bare as it gets."""
        ...

    def make_parent(self, match: Match, name: str) -> ParentNamespace:
        """A parent for these names."""
        ...

    def made_namespace(self, namespace: Namespace) -> None:
        """A namespace is complete, and clients can join it."""
        ...


class Backplane(Protocol):
    """Carries what namespaces say to the same namespaces of other nodes."""

    def enter(self, namespace: Namespace) -> Peers:
        """A namespace is there, and is heard and told from now on."""
        ...

    def leave(self, namespace: Namespace) -> None:
        """It is there no longer."""
        ...


class Namespaces:
    """All namespaces of a server.

    Args:
        maker: Makes them.
        runner: Owns the tasks in which functions of the application decide.
        limit: How many may be there because clients asked for them.
        cleans_up: Whether they go when nobody is in them any more.
        backplane: The way to other nodes; None: there are none.
    """

    def __init__(
        self,
        maker: Maker,
        runner: Runner,
        limit: int,
        *,
        cleans_up: bool,
        backplane: Backplane | None = None,
    ) -> None:
        # Fixed at creation
        self._maker, self._runner, self._limit, self._cleans_up = maker, runner, limit, cleans_up
        self._backplane = backplane
        # Grows while the application sets itself up, and with what clients ask for. In the order of registration.
        self.by_name: dict[str, Namespace] = {}
        self._parents: dict[Match, ParentNamespace] = {}
        # Those that are there because clients asked. Invariant: name in _dynamic  =>  name in by_name.
        self._dynamic: dict[str, ParentNamespace] = {}

    def of(self, name: str) -> Namespace:
        """The namespace of a name, made where there is none; a child of the first parent whose pattern matches.

        Raises:
            UsageError: The name is none that a client could ask for.
        """
        if not name.startswith("/"):
            name = "/" + name
        found = self.by_name.get(name)
        if found is None:
            socketio.check_namespace(name)
            # A function decides about clients, with their `auth`: there is none here.
            matching = (each for each in self._parents.values() if not callable(each.match))
            parent = next((each for each in matching if each.accepts(name, {})), None)
            found = self._make(name, parent)
        return found

    def parent(self, match: Match) -> ParentNamespace:
        """The parent for a pattern or a function; the same for the same."""
        found = self._parents.get(match)
        if found is None:
            found = self._maker.make_parent(match, f"/_{len(self._parents)}")
            self._parents[match] = found
        return found

    def find(self, name: str, auth: Mapping[str, Any], found: Found) -> None:
        """Say what a client meant that asked for a namespace: at once, or when a function has decided.

        The order: one that is there, then the parents as they were registered; the first that accepts makes it.
        """
        namespace = self.by_name.get(name)
        if namespace is not None:
            found(namespace)
            return
        parents = iter(list(self._parents.values()))
        for parent in parents:
            answer = parent.accepts(name, auth)
            if not isinstance(answer, bool):
                work = self._find_later(name, auth, found, (parent, answer), parents)
                self._runner.start(work, "dynamic namespace")
                return
            if answer:
                self._offer(name, parent, found)
                return
        found(UnknownNamespace())

    async def _find_later(
        self,
        name: str,
        auth: Mapping[str, Any],
        found: Found,
        asked: tuple[ParentNamespace, Awaitable[bool]],
        rest: Iterator[ParentNamespace],
    ) -> None:
        parent, answer = asked
        accepted = await answer
        while not accepted:
            following = next(rest, None)
            if following is None:
                found(UnknownNamespace())
                return
            parent = following
            said = parent.accepts(name, auth)
            accepted = await said if inspect.isawaitable(said) else said
        self._offer(name, parent, found)

    def _offer(self, name: str, parent: ParentNamespace, found: Found) -> None:
        """Hand on the child of this name, made now unless it is there: a parent that decided slowly may be late."""
        namespace = self.by_name.get(name)
        if namespace is None and len(self._dynamic) >= self._limit:
            limit_exceeded.labels("dynamic_namespaces").inc()
            why = f"{self._limit} namespaces are open already (limits.dynamic_namespaces)"
            found(TooMany(why, limit=self._limit))
            return
        if namespace is None:
            self._dynamic[name] = parent
            namespace = self._make(name, parent)
        found(namespace)
        # Whoever asked may have left meanwhile.
        if not namespace.guests:
            self._leave(name)

    def _make(self, name: str, parent: ParentNamespace | None) -> Namespace:
        made = self._maker.make_namespace(name)
        self.by_name[name] = made
        if parent is not None:
            parent.adopt(made)
            made.when_empty(lambda: self._leave(name))
        if self._backplane is not None:
            made.peers = self._backplane.enter(made)
        self._maker.made_namespace(made)
        return made

    def _leave(self, name: str) -> None:
        """Nobody is in a child any more."""
        if self._cleans_up and name in self._dynamic:
            if self._backplane is not None:
                self._backplane.leave(self.by_name[name])
            del self._dynamic[name].children[name]
            del self._dynamic[name], self.by_name[name]
