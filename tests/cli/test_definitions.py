"""`clarion apply` and `clarion pull` of all that a deployment says: templates, workflows, schedules, defaults."""

import shutil
from pathlib import Path

import pytest

from clarion.cli import definitions
from clarion.cli.written import read
from tests.cli.test_apply import Repository
from tests.support.server import Server

EXAMPLES = Path(__file__).parents[2] / "examples" / "notifications"
NAMES = ["template letter", "template receipt", "receipt", "report", "schedule weekly-report"]


@pytest.fixture
def repository(server: Server) -> Repository:
    """With a key of its own: what others have written is not its to prune."""
    return Repository(server)


def test_a_deployment_is_applied_changed_pruned_and_pulled(
    repository: Repository, tmp_path: Path
) -> None:
    """All at once, although each needs the one before; then only what differs, and what a key has written no longer is taken back."""
    folder = tmp_path / "notifications"
    shutil.copytree(EXAMPLES, folder)
    dry = repository.apply(folder, "--check")
    assert (dry.returncode, dry.stderr.count("warning")) == (1, len(dry.stderr.splitlines()))
    everything = [*NAMES, "preferences defaults"]
    told = [line.partition("  new")[0] for line in dry.stdout.splitlines() if line[0] != "?"]
    assert told == [f"+ {name}" for name in everything] + ["6 would change"]

    done = repository.apply(folder)
    assert done.returncode == 0, done.stderr
    applied = [line for line in done.stdout.splitlines() if line.startswith("applied")]
    assert [line.removeprefix("applied ").partition(",")[0] for line in applied] == everything
    assert "nothing to change" in repository.apply(folder, "--check").stdout

    assert repository.pull(tmp_path / "first").returncode == 0
    for path in EXAMPLES.glob("*/*.yaml"):
        pulled = tmp_path / "first" / path.relative_to(EXAMPLES)
        assert "null" not in pulled.read_text()
        if path.parent.name != "schedules":  # of which the server writes out what is meant
            assert read(pulled).data == read(path).data

    # What another has put stays, whoever prunes.
    other = tmp_path / "other"
    other.mkdir()
    (other / "by-hand.yaml").write_text("workflow: by-hand\nsteps:\n  - inbox: {title: Hello}\n")
    assert repository.apply(other, key=repository.another("workflows:*")).returncode == 0

    # The template no longer says what the workflow did, which is changed with it.
    receipt = folder / "templates" / "receipt.yaml"
    text = receipt.read_text()
    receipt.write_text(text[: text.index("  email:")].replace("Paid:", "Received:"))
    workflow = folder / "workflows" / "receipt.yaml"
    workflow.write_text(workflow.read_text().replace("  - email: {template: receipt}\n", ""))
    for gone in ("workflows/report.yaml", "schedules/weekly-report.yaml", "templates/letter.yaml"):
        (folder / gone).unlink()
    done = repository.apply(folder)
    assert done.returncode == 0, done.stderr
    assert "    +      title: 'Received: {{ payload.total|currency(''EUR'') }}'" in done.stdout
    assert "? report  only on the server" in done.stdout
    done = repository.apply(folder, "--prune")
    assert done.returncode == 0, done.stderr
    last = [line for line in done.stdout.splitlines() if line[:1] not in "=?-"]
    assert last == [
        "removed schedule weekly-report",
        "switched off report",
        "removed template letter",
    ]
    assert "? by-hand  only on the server" in done.stdout
    shutil.copy(EXAMPLES / "workflows" / "report.yaml", folder)
    assert "= report  unchanged (switched off)" in repository.apply(folder, "--check").stdout

    pulled = tmp_path / "pulled"
    done = repository.pull(pulled)
    assert done.returncode == 0, done.stderr
    done = repository.apply(pulled, "--check")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing to change"), done.stdout
    assert "0 written" in repository.pull(pulled).stdout
    by_hand = pulled / "workflows" / "by-hand.yaml"
    by_hand.write_text("# ours\n" + by_hand.read_text().replace("Hello", "Good day"))
    assert "by-hand  differs" in repository.pull(pulled).stdout
    assert repository.pull(pulled, "--overwrite").returncode == 0
    assert "Hello" in by_hand.read_text()


@pytest.mark.parametrize("kind", ["template", "workflow", "schedule", "preferences"])
def test_what_somebody_changes_meanwhile_is_not_overwritten(
    kind: str,
    repository: Repository,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither what is new when the differences are shown, nor what is changed after that; the next run shows it."""
    said = {
        "template": ("channels: {inbox: {en: {title: %s}}}", "templates/raced"),
        "workflow": ("steps: [{inbox: {title: %s}}]", "workflows/raced"),
        "schedule": (
            "name: %s\ntrigger: {workflow: raced, everyone: true}\nwhen: {cron: '0 9 * * *'}",
            "schedules/raced",
        ),
        "preferences": ("categories: {%s: {email: false}}", "preferences/defaults"),
    }
    text, at = said[kind]
    name = at.partition("/")[2]
    file, others = tmp_path / "raced.yaml", tmp_path / "others.yaml"
    judge = definitions.check

    def meanwhile(mine: str, other: str) -> str:
        file.write_text(f"{kind}: {name}\n{text % mine}\n")
        others.write_text(f"{kind}: {name}\n{text % other}\n")

        def check(*given: object) -> definitions.Checked:
            judged = judge(*given)  # type: ignore[arg-type]
            monkeypatch.setattr(definitions, "check", judge)
            assert repository.apply(others).returncode == 0
            return judged

        monkeypatch.setattr(definitions, "check", check)
        done = repository.apply(file)
        assert done.returncode == 1, done.stdout
        return done.stderr

    for mine, other in (("one", "two"), ("three", "four")):
        told = meanwhile(mine, other)
        assert "somebody has changed it since the differences were shown" in told
        assert "nothing was applied" in told
        assert other in server.get(f"/v1/{at}", token=repository.key).text
    assert repository.apply(file).returncode == 0
    assert "three" in server.get(f"/v1/{at}", token=repository.key).text


def test_what_depends_on_what_is_wrong_is_told_too(repository: Repository, tmp_path: Path) -> None:
    """A schedule is held against the workflow that is about to come; where that is wrong, so is the schedule. Nothing is applied."""
    (tmp_path / "a.yaml").write_text(
        "workflow: paid\npayload: {type: object, required: [total]}\nsteps: [{inbox: {title: x}}]\n"
    )
    schedule = tmp_path / "b.yaml"
    schedule.write_text(
        "schedule: paid\ntrigger:\n  workflow: paid\n  everyone: true\n  payload: {}\nwhen: {cron: '0 9 * * *'}\n"
    )
    done = repository.apply(tmp_path)
    assert (done.returncode, done.stderr.count("b.yaml:5:")) == (2, 1), done.stderr
    schedule.write_text(schedule.read_text().replace("{}", "{total: 1}"))
    assert repository.apply(tmp_path, "--check").returncode == 1
    (tmp_path / "a.yaml").write_text("workflow: paid\nsteps: [{inbox: {template: nowhere}}]\n")
    done = repository.apply(tmp_path)
    assert "there is no template 'nowhere'" in done.stderr
    assert "'paid' has faults of its own" in done.stderr
    assert repository.version("paid") == 0


def test_more_than_the_server_takes_at_once_is_told_so(
    repository: Repository, tmp_path: Path
) -> None:
    """And not as a fault of a file."""
    for n in range(5):
        text = f"workflow: large{n}\nsteps: [{{inbox: {{title: {'x' * 250_000}}}}}]\n"
        (tmp_path / f"{n}.yaml").write_text(text)
    done = repository.apply(tmp_path)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("clarion: nothing was applied: together the files are more than")
