"""Writes the pages that come from the code (settings, errors, codes, metrics), and the list of all pages. `make docs`; a test compares.

python -m tools.reference [--check]
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import ProcessCollector

from clarion import errors
from clarion.client import AsyncClient, Client
from clarion.client.base import Base
from clarion.errors import ClarionError, UsageError
from clarion.protocol import codes
from clarion.realtime import Server
from clarion.settings import SECTIONS, Field, fields
from clarion.telemetry import REGISTRY

FOLDER = Path(__file__).parent.parent / "docs"
NOTE = "<!-- Written by `make docs` from {source}; edit that. -->\n"


def settings_page() -> str:
    """Every setting: key, environment, default, help."""
    out = [
        NOTE.format(source="src/clarion/settings/"),
        "# Settings\n",
        "A value comes from a flag, the environment, `clarion.toml`, or is the default, in this order of weight;",
        "`clarion settings` prints each with its source, `clarion settings limits` those of a part. The flag of `limits.rooms` is `--limits.rooms`.\n",
        "Names of the former system are honoured, below `clarion.toml` in weight: `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` (`redis_url`),",
        "`FRONTEND_URL` (`public_url`), `CORS_ORIGIN` (`allowed_origins`), `RATE_LIMIT_WINDOW_MS` (`limits.api_window_s`),",
        "`RATE_LIMIT_MAX_REQUESTS` (`limits.api_requests`). The start says what was taken from them.\n",
        "An unknown `CLARION_*` name stops the start. The file is `clarion.toml` in the working folder, `--config`, or `CLARION_CONFIG`:\n",
        "```toml\nport = 8080\n\n[limits]\nrooms = 100\n```\n",
    ]
    for section in ("", *SECTIONS):
        struct = SECTIONS.get(section)
        out.append(f"\n## {section.replace('_', ' ').capitalize() or 'Server'}\n")
        if struct:
            out.append(f"{inspect.getdoc(struct)}\n")
        out.append("| setting | environment | default | what it is |\n|---|---|---|---|")
        out += [
            f"| `{f.key}` | `{f.env}` | {_default(f)} | {f.help} |"
            for f in fields()
            if f.section == section
        ]
    out += [
        "\n## Arguments of `Server`\n",
        "A program that runs the Socket.IO server by itself says the values of `realtime` and `limits` as `Server(Realtime(path=…), Limits(rooms=…))`,",
        "both from `clarion.settings`, and besides by name:\n",
        "| argument | default | what it is |\n|---|---|---|",
        *_arguments(Server),
    ]
    return "\n".join(out) + "\n"


def _arguments(kind: type) -> Iterator[str]:
    """Rows of the arguments that are named, as the docstring tells them."""
    told = inspect.cleandoc(kind.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    help = dict(re.findall(r"(?m)^    (\w+): (.*(?:\n     .*)*)", told))
    for name, argument in inspect.signature(kind).parameters.items():
        if argument.kind is argument.KEYWORD_ONLY:
            given = argument.default
            default = "–" if given is None or given == () or callable(given) else f"`{given!r}`"
            yield f"| `{name}` | {default} | {' '.join(help[name].split())} |"


def _default(field: Field) -> str:
    if field.default in ("", []):
        return "–"
    value = str(field.default).lower() if isinstance(field.default, bool) else field.default
    return f"`{value}`"


def errors_page() -> str:
    """Every error that a caller can meet."""
    out = [
        NOTE.format(source="src/clarion/errors.py"),
        "# Errors\n",
        "Over HTTP an error is a problem document (RFC 9457, `application/problem+json`) with the member `code`; in an ack it is",
        '`{"error": {"code", "message", …}}`; in `connect_error` it is `err.data`. The same code means the same everywhere.\n',
        "`retry`: **never** – the call must change first; **later** – the same call may succeed after `retry_after` seconds or a while;",
        "**same** – repeat it with the same `Idempotency-Key` or `id`.\n",
        "| code | status | retry | what it means |\n|---|---|---|---|",
    ]
    out += [
        f'| <a id="{e.code}"></a>`{e.code}` | {e.status} | {e.retry} | {(inspect.getdoc(e) or "").partition(chr(10))[0]} |'
        for e in _wire_errors()
    ]
    return "\n".join(out) + "\n"


def _wire_errors() -> Iterator[type[ClarionError]]:
    hidden = (ClarionError, errors.ServerError)
    for error in vars(errors).values():
        if inspect.isclass(error) and issubclass(error, ClarionError) and error not in hidden:
            if not issubclass(error, UsageError):
                yield error


def codes_page() -> str:
    """Close codes, Engine.IO errors, disconnect reasons."""
    heads = {
        "close": (
            "Close codes, and codes of `unsubscribed`",
            "| code | name | where | a client should | meaning |",
        ),
        "engine": (
            "Errors of the Engine.IO handshake",
            "| code | name | where | a client should | text |",
        ),
        "reason": ("Reasons of `disconnect`", "| reason | name | where | recovery | meaning |"),
    }
    out = [
        NOTE.format(source="src/clarion/protocol/codes.py"),
        "# Codes\n",
        "3000–3499: reconnect (or subscribe again) and recover. 3500–3999: stop, it will not help.\n",
    ]
    for table, (title, head) in heads.items():
        out.append(f"\n## {title}\n\n{head}\n|---|---|---|---|---|")
        out += [
            f"| `{r.code}` | `{r.name}` | {r.where} | {r.advice} | {r.meaning} |"
            for r in codes.rows()
            if r.table == table
        ]
    return "\n".join(out) + "\n"


def metrics_page() -> str:
    """Every metric."""
    out = [
        NOTE.format(source="src/clarion/telemetry.py"),
        "# Metrics\n",
        "`GET /metrics`, in Prometheus' text format, for a key with the scope `metrics:read`: [how to scrape it, and what to be woken by](../how-to/operate.md#watch-it).",
        "Counters end in `_total`. No label ever holds a user, a topic, a room or a token. On Linux there are also prometheus-client's `process_open_fds`,",
        "`process_max_fds`, `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_cpu_seconds_total` and `process_start_time_seconds`.\n",
        "A `Server` in an application of yours counts into the same registry, which prometheus-client can serve:",
        '`app.mount("/metrics", make_asgi_app(clarion.telemetry.REGISTRY))`.\n',
        "| metric | type | labels | what it counts |\n|---|---|---|---|",
    ]
    for metric in list(REGISTRY._collector_to_names):
        if isinstance(metric, ProcessCollector):  # told above: what it finds depends on the machine
            continue
        labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ()))
        family = next(iter(metric.collect()))
        suffix = "_total" if family.type == "counter" else ""
        out.append(
            f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |"
        )
    return "\n".join(out) + "\n"


def python_page() -> str:
    """Every method of the Python SDK."""
    out = [
        NOTE.format(source="src/clarion/client/"),
        "# `clarion.client`\n",
        "What a back end in Python says to a server over HTTP. `Client` blocks and may be shared by threads, `AsyncClient` has the same methods",
        "as coroutines, and `topic`, which follows one; where `Client` gives an iterator, it gives one for `async for`. Definitions (of",
        "workflows, templates, schedules) are dictionaries with what [their YAML](../how-to/workflows-in-your-repository.md) has, so that",
        "a program may build them. Refusals are `ApiError`, with `code` as in [errors](errors.md).\n",
        f"```python\nClient{_signed(Base)}\n```\n",
        *_told(inspect.getdoc(Base.__init__) or ""),
    ]
    for part in (Client, *(each for each in Client.__mro__ if each.__name__.endswith("Calls"))):
        if part.__name__ == "Calls":
            continue
        about = re.sub(
            r"^The part of `Client` that speaks (of|to) ", "", inspect.getdoc(part) or ""
        )
        title = "All clients" if part is Client else about.partition("\n")[0].rstrip(".")
        out.append(f"\n## {title[0].upper()}{title[1:]}\n")
        for name, method in vars(part).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                out.append(f"### `{name}`\n\n```python\n{name}{_signed(method)}\n```\n")
                out += _told(inspect.getdoc(method) or "")
    out += [
        "\n## Following a topic\n",
        f"```python\nAsyncClient.topic{_signed(AsyncClient.topic)}\n```\n",
        *_told(inspect.getdoc(AsyncClient.topic) or ""),
    ]
    return "\n".join(out).rstrip() + "\n"


def _signed(function: Any) -> str:
    """Its parameters as they are written, without `self` and the modules of types."""
    signature = inspect.signature(function)
    parameters = [each for name, each in signature.parameters.items() if name != "self"]
    text = str(signature.replace(parameters=parameters))
    text = text.replace("~T", "T")
    return re.sub(r"\b(?:clarion|collections|datetime|pathlib|typing)\.(?:\w+\.)*(?=\w)", "", text)


def _told(doc: str) -> Iterator[str]:
    """A docstring as Markdown: its sections are lists."""
    for line in doc.splitlines():
        if re.fullmatch(r"(Args|Returns|Raises):", line):
            yield f"*{line[:-1].replace('Args', 'Parameters')}*\n"
        elif found := re.fullmatch(r"    (\w+): (.*)", line):
            yield f"- `{found[1]}`: {found[2]}"
        else:
            yield f"  {line.strip()}" if line.startswith("    ") else line
    yield ""


SHELVES = {
    "tutorials": ("To learn it", "Done step by step, from nothing; run in the tests."),
    "how-to": ("To do one thing", "Each page solves one task, with code that is run in the tests."),
    "explanation": ("To understand", "How it works inside, and why."),
    "reference": ("To look something up", "Complete, and for the most part written from the code."),
    "decisions": ("Decisions", "What was chosen where there was a choice, and against what."),
}


def list_of_pages() -> str:
    """Every page, by its title."""
    out = [
        NOTE.format(source="the pages' titles"),
        "# Clarion's documentation\n",
        "To begin with, the [README](../README.md): a server in a minute.",
    ]
    for folder, (title, about) in SHELVES.items():
        out.append(f"\n## {title}\n\n{about}\n")
        for page in sorted((FOLDER / folder).glob("*.md")):
            heading = re.search(r"(?m)^# (.+)$", page.read_text())
            assert heading is not None, f"{page} has no title"
            out.append(f"- [{heading[1]}]({folder}/{page.name})")
    out.append("\nWhat is used of others: [dependencies](dependencies.md).")
    return "\n".join(out) + "\n"


PAGES = {
    "reference/settings.md": settings_page,
    "reference/errors.md": errors_page,
    "reference/codes.md": codes_page,
    "reference/metrics.md": metrics_page,
    "reference/python.md": python_page,
    "README.md": list_of_pages,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say which are out of date."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text)
                print(f"wrote {path}")
    if "--check" in arguments and stale:
        print(f"out of date, run `make docs`: {', '.join(stale)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
