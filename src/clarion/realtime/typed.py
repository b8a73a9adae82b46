"""Handlers that say what they take: `def say(text: str, to: list[User])`. Arguments are checked, and made into it, before the call.

What can be said: msgspec structs, dataclasses, pydantic models (whatever has `model_validate`), named tuples, typed dicts, enums,
datetimes, bytes, `Annotated` with `msgspec.Meta`, and what is made of these. `Any`, `object` and no annotation take what comes.
A client that sends something else is answered `invalid`, with a pointer to each fault, and the handler is not called.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType, MethodType
from typing import Any, Final

import msgspec

from clarion.errors import Fault, Invalid, UsageError, pointer_step
from clarion.realtime.handlers import Handler, Listener, refused_arguments

# A body with thousands of faults must not become an answer that is larger than itself.
MAX_FAULTS: Final = 10

Types = tuple[Any, ...]
"""Of the arguments, then of those that `*args` takes; None: takes what comes."""


class TypedListener(Listener):
    """A listener whose handler says what it takes.

    Args:
        handler: What the application gave.
        types: What it takes.
        takes_socket: As for `Listener`.
    """

    __slots__ = ("_types",)

    def __init__(self, handler: Handler, types: Types, *, takes_socket: bool = False) -> None:
        super().__init__(handler, takes_socket=takes_socket)
        self._types = types

    def take(self, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments as the handler wants them.

        Raises:
            Invalid: They are not what it takes; `errors` says where.
        """
        types, last = self._types, len(self._types) - 1
        taken: list[Any] = []
        faults: list[Fault] = []
        for place, value in enumerate(Listener.take(self, args)):
            wanted = types[min(place, last)]
            if wanted is None or type(value) is wanted:
                taken.append(value)
                continue
            try:
                taken.append(_converted(value, wanted))
            except msgspec.ValidationError as exc:
                faults += _faults(place, exc)
        if faults:
            faults = faults[:MAX_FAULTS]
            first = f"{faults[0].pointer} {faults[0].detail}"
            refused_arguments.inc()
            raise Invalid(f"the arguments are not valid: {first}", faults=faults)
        return taken


def listen(handler: Handler, *, takes_socket: bool = False) -> Listener:
    """A listener for what clients send.

    Raises:
        UsageError: An annotation of the handler cannot be resolved, or arguments cannot be made into it.
    """
    types = _types_of(handler, takes_socket)
    if types is None:
        return Listener(handler, takes_socket=takes_socket)
    return TypedListener(handler, types, takes_socket=takes_socket)


# ── converting ──
def _converted(value: Any, wanted: Any) -> Any:
    return msgspec.convert(
        value, wanted, builtin_types=_AS_THEY_ARE, str_keys=True, dec_hook=_validated
    )


# Bytes come as bytes: text is not to be taken for base64.
_AS_THEY_ARE: Final = (bytes, bytearray)


def _validated(kind: Any, value: Any) -> Any:
    """A pydantic model. What it raises is a ValueError, which msgspec takes for a fault of the value."""
    return kind.model_validate(value)


def _faults(place: int, exc: msgspec.ValidationError) -> Iterator[Fault]:
    found = Fault.of(exc)
    pointer = f"/{place}{found.pointer}"
    errors = getattr(exc.__cause__, "errors", None)
    if not callable(errors):
        yield Fault(pointer, found.detail)
        return
    for error in errors()[:MAX_FAULTS]:
        steps = "".join(f"/{pointer_step(str(step))}" for step in error["loc"])
        yield Fault(pointer + steps, error["msg"])


# ── what a handler says: looked up for each socket that connects, so that what was found is kept ──
_untyped: dict[CodeType, None] = {}
_MOST_KEPT: Final = 4096


def _types_of(handler: Handler, takes_socket: bool) -> Types | None:
    if isinstance(handler, FunctionType) and handler.__code__ in _untyped:
        return None
    function = handler.__func__ if isinstance(handler, MethodType) else handler
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return _types_of_signature(handler, takes_socket)
    code = function.__code__
    said = _annotations(function, handler)
    if not said:
        # Closures of one `def` are alike in this. Asking each would make each an empty dict of 64 bytes.
        if len(_untyped) >= _MOST_KEPT:
            _untyped.clear()
        _untyped[code] = None
        return None
    names = _names(code, isinstance(handler, MethodType) + takes_socket)
    return _types(handler, function, [said.get(name) for name in names])


def _types_of_signature(handler: Handler, takes_socket: bool) -> Types | None:
    """The same for what is no plain function: partials, wrapped functions, objects that can be called."""
    positional, rest = [], None
    for parameter in inspect.signature(handler).parameters.values():
        said = None if parameter.annotation is parameter.empty else parameter.annotation
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = said
        elif parameter.kind <= parameter.POSITIONAL_OR_KEYWORD and parameter.name != "ack":
            positional.append(said)
    function = inspect.unwrap(getattr(handler, "func", handler))
    return _types(handler, function, [*positional[takes_socket:], rest])


@lru_cache(_MOST_KEPT)
def _names(code: CodeType, skip: int) -> Sequence[str]:
    """Parameters whose arguments come from a client, then that of `*args`, or ""."""
    several = code.co_argcount + code.co_kwonlyargcount
    rest = code.co_varnames[several] if code.co_flags & inspect.CO_VARARGS else ""
    return [name for name in code.co_varnames[skip : code.co_argcount] if name != "ack"] + [rest]


def _annotations(function: FunctionType, handler: Handler) -> Mapping[str, Any]:
    try:
        return function.__annotations__
    except NameError as exc:  # from Python 3.14 on they are evaluated when asked for
        raise _unresolved(handler, str(exc)) from exc


def _types(handler: Handler, function: Any, said: list[Any]) -> Types | None:
    resolved = tuple(
        _resolved(each, function, handler) if isinstance(each, str) else each for each in said
    )
    try:
        return _checked(resolved)
    except TypeError as exc:
        if "unhashable" in str(exc):  # metadata of an Annotated may be anything
            return _checked.__wrapped__(resolved)
        raise UsageError(
            f"handler {_name(handler)}: its arguments cannot be made from what a client sends: {exc}"
        ) from exc


@lru_cache(_MOST_KEPT)
def _checked(types: Types) -> Types | None:
    """Raise TypeError unless arguments can be made into these; None: all take what comes."""
    wanted = tuple(None if each is Any or each is object else each for each in types)
    said = [each for each in wanted if each is not None]
    for each in said:
        # Goes through all of a type, and asks about what msgspec does not know.
        msgspec.json.schema(each, schema_hook=_known)
        msgspec.json.Decoder(each)
    return wanted if said else None


def _known(kind: Any) -> dict[str, Any]:
    if not hasattr(kind, "model_validate"):
        raise TypeError(f"{getattr(kind, '__qualname__', kind)} is no type for that")
    return {"type": "object"}


def _resolved(text: str, function: Any, handler: Handler) -> Any:
    """What an annotation means that is text: it was quoted, or its module has `from __future__ import annotations`."""
    inner = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    try:
        cells = {name: cell.cell_contents for name, cell in inner.items()}
        return eval(_compiled(text), function.__globals__, cells)  # noqa: S307  the program's own text, as typing.get_type_hints does
    except (NameError, ValueError, AttributeError, SyntaxError, TypeError) as exc:
        raise _unresolved(handler, f"{text!r}: {exc}") from exc


@lru_cache(_MOST_KEPT)
def _compiled(text: str) -> CodeType:
    return compile(text, "<annotation>", "eval")


def _unresolved(handler: Handler, why: str) -> UsageError:
    where = "name its type at the top of the module, or leave the annotation out"
    return UsageError(
        f"handler {_name(handler)}: an annotation cannot be resolved ({why}): {where}"
    )


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
