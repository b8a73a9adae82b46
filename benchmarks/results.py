"""The figures of a run: kept as JSON, shown as a table, read against the budgets."""

import datetime
import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peers import HERE, OURS, PEERS
from benchmarks.scenarios import METRICS

FIGURES, PAGE = HERE / "results.json", HERE / "RESULTS.md"


@dataclass
class Results:
    """What was measured: by metric and peer, one figure a round."""

    about: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Peers that are not available, and why."""
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    """Scenario, peer, and what went wrong; there are no figures then."""
    others: list[float] = field(default_factory=list)
    """What part of the machine other programs took, by measurement."""

    def add(self, metric: str, peer: str, figure: float) -> None:
        """One figure of one round."""
        self.figures.setdefault(metric, {}).setdefault(peer, []).append(figure)

    def fail(self, scenario: str, peer: str, why: str) -> None:
        """A delivery was missing or wrong: what the scenario gave before counts no more."""
        self.failed.append((scenario, peer, why))
        for metric in [name for name, m in METRICS.items() if m.scenario == scenario]:
            self.figures.get(metric, {}).pop(peer, None)

    def has_failed(self, scenario: str, peer: str) -> bool:
        """Whether it did, in this run."""
        return any((scenario, peer) == failure[:2] for failure in self.failed)

    def describe_noise(self) -> str:
        """How much others disturbed."""
        if not self.others:
            return "unknown"
        middle, worst = statistics.median(self.others), max(self.others)
        return f"other programs took {middle:.1%} of the machine (median; at worst {worst:.0%})"

    def median(self, metric: str, peer: str) -> float | None:
        """The figure that counts."""
        figures = self.figures.get(metric, {}).get(peer)
        return statistics.median(figures) if figures else None

    def ratio(self, metric: str, peer: str) -> float | None:
        """Clarion's figure divided by a peer's."""
        ours, theirs = self.median(metric, OURS), self.median(metric, peer)
        return ours / theirs if ours is not None and theirs else None

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(asdict(self)), indent=1) + b"\n")


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def describe_machine() -> dict[str, str]:
    """What ran where."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": f"{os.cpu_count()} × {cpu}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "node": _version("node"),
    }


def _version(program: str) -> str:
    try:
        ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return ran.stdout.strip().removeprefix("v")


# ── the table ──
ARROWS = {True: "↓", False: "↑", None: ""}


def short(figure: float) -> str:
    """Three digits are enough."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def cell(results: Results, metric: str, peer: str) -> str:
    """Median (lowest–highest) · ratio."""
    figures = results.figures.get(metric, {}).get(peer)
    if not figures:
        return "–"
    text = short(statistics.median(figures))
    if len(figures) > 1:
        text += f" ({short(min(figures))}–{short(max(figures))})"
    ratio = results.ratio(metric, peer)
    compares = METRICS[metric].less_is_better is not None
    return text if ratio is None or peer == OURS or not compares else f"{text} · {ratio:.2f}×"


def table(results: Results) -> list[str]:
    """Markdown: a row a metric, a column a peer."""
    peers = [name for name in PEERS if any(name in by_peer for by_peer in results.figures.values())]
    rows = [
        "| what | unit | " + " | ".join(peers) + " |",
        "|---|---" + "|---:" * len(peers) + "|",
    ]
    for name, metric in METRICS.items():
        if name in results.figures:
            unit = f"{metric.unit} {ARROWS[metric.less_is_better]}".strip()
            cells = (cell(results, name, peer) for peer in peers)
            rows.append(f"| {metric.title} | {unit} | " + " | ".join(cells) + " |")
    return rows


# ── budgets ──
@dataclass(frozen=True)
class Budget:
    """A promise: Clarion's figure against a peer's, or (without one) in the metric's own unit."""

    metric: str
    peer: str | None
    limit: float


BUDGETS = (
    Budget("fanout-10000-64", "send(2)", 1.15),
    Budget("fanout-10000-64", "uws", 1.0),
    Budget("fanout-10000-64", "node", 0.5),
    Budget("fanout-10000-64", "python-socketio", 0.1),
    Budget("burst", "node", 5),
    Budget("ack", "node", 1.5),
    Budget("rooms-p99", "send(2)", 5),
    Budget("rooms-p99", "node", 1 / 3),
    Budget("storm", "node", 2),
    Budget("memory", None, 10),
    Budget("whole", None, 1000),
    Budget("ping-5000", "node", 1),
    Budget("publish-ratio", None, 1.2),
    Budget("recovery-missed", None, 0),
    Budget("search-ratio", None, 1.3),
    Budget("live-500-p99-sqlite", None, 20),
    Budget("live-500-p99-postgresql", None, 20),
    Budget("live-2000-p99-sqlite", None, 20),
    Budget("live-2000-p99-postgresql", None, 20),
    Budget("bulk-alike-sqlite", None, 50_000),
    Budget("bulk-alike-postgresql", None, 20_000),
    Budget("events-sqlite", None, 10_000),
    Budget("events-postgresql", None, 10_000),
)


def budgets(results: Results) -> list[str]:
    """Markdown: each budget, what was measured, met or not; those without figures say so."""
    rows = ["| what | budget | measured | |", "|---|---|---|---|"]
    for budget in BUDGETS:
        metric = METRICS[budget.metric]
        sign = "≤" if metric.less_is_better else "≥"
        if budget.peer is None:
            figure = results.median(budget.metric, OURS)
            wanted, shown = f"{sign} {short(budget.limit)} {metric.unit}", metric.unit
        else:
            figure = results.ratio(budget.metric, budget.peer)
            wanted, shown = f"{sign} {budget.limit:.2f} × {budget.peer}", "×"
        if figure is None:
            rows.append(f"| {metric.title} | {wanted} | not measured | |")
            continue
        met = figure <= budget.limit if metric.less_is_better else figure >= budget.limit
        said = "met" if met else "**not met**"
        rows.append(f"| {metric.title} | {wanted} | {_three(figure)} {shown} | {said} |")
    return rows


def _three(figure: float) -> str:
    return f"{figure:.2f}" if figure >= 0.1 else f"{figure:.3f}"


def notes(results: Results) -> list[str]:
    """What a reader must know besides: who is missing, what failed."""
    lines = [
        f"- {PEERS[name].about}: not available: {why}" for name, why in results.missing.items()
    ]
    lines += [f"- {peer} failed in {scenario}: {why}" for scenario, peer, why in results.failed]
    return lines


def write_page(results: Results, page: Path) -> None:
    """Put the tables between the marks of a page."""
    text = page.read_text()
    about = "; ".join(f"{key}: {value}" for key, value in results.about.items())
    peers = [f"- `{peer.name}`: {peer.about}" for peer in PEERS.values()]
    parts: dict[str, list[Any]] = {
        "table": [about, "", *peers, *notes(results), "", *table(results)],
        "budgets": budgets(results),
    }
    for name, lines in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        text = before + begin + "\n" + "\n".join(lines) + "\n" + end + rest.split(end)[1]
    page.write_text(text)
