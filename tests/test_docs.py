"""What the docs say is what the code does."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from tools import reference

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", reference.PAGES)
def test_generated_pages_are_fresh(page: str) -> None:
    """`make docs` would change nothing."""
    assert (reference.FOLDER / page).read_text() == reference.PAGES[page](), "run `make docs`"


@pytest.mark.parametrize("example", ["notify.sh", "notify.py", "inbox.mjs", "standalone.py"])
def test_the_readme_shows_the_examples_that_are_run(example: str) -> None:
    """A snippet of the README is a file in examples/, which another test runs."""
    assert (ROOT / "examples" / example).read_text().strip() in (ROOT / "README.md").read_text()


def test_the_handlers_page_shows_the_example_that_is_run() -> None:
    """The same holds for the page about one's own handlers."""
    page = (ROOT / "docs/how-to/handlers.md").read_text()
    assert (ROOT / "examples/chat.py").read_text().strip() in page


@pytest.mark.parametrize(
    "page",
    [*(ROOT / "docs/how-to").glob("*.md"), *(ROOT / "docs/explanation").glob("*.md")],
    ids=str,
)
def test_snippets_are_parts_of_examples(page: Path) -> None:
    """What the guides show of Python, and longer pieces of JavaScript, stands in examples/, word for word."""
    examples = [
        path.read_text()
        for path in (ROOT / "examples").rglob("*.*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    for language, snippet in re.findall(r"```(python|js)\n(.*?)```", page.read_text(), re.DOTALL):
        if language == "python" or snippet.count("\n") > 3:
            assert any(snippet.strip() in example for example in examples), snippet


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file here."""
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_hot_path_is_where_its_page_says() -> None:
    """Each function that the page follows is in the file that it names."""
    page = (ROOT / "docs/explanation/hot-path.md").read_text()
    places = re.findall(r"`([a-z_/]+)\.py` `([A-Za-z_.]+)`", page)
    assert len(places) >= 16
    for file, name in places:
        floor = "" if file.startswith("protocol/") else "realtime."
        found: object = importlib.import_module(f"clarion.{floor}{file.replace('/', '.')}")
        for part in name.split("."):
            found = getattr(found, part)


def test_every_dependency_has_a_reason() -> None:
    """Each package of pyproject.toml is named in docs/dependencies.md."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    reasons = (ROOT / "docs/dependencies.md").read_text().lower()
    extras = project["project"]["optional-dependencies"].values()
    wanted = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *(package for extra in extras for package in extra),
    ]
    for requirement in wanted:
        name = re.split(r"[\[<>=;]", requirement)[0].strip().lower()
        assert name in reasons, name
