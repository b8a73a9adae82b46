"""Each pure module is covered, branch by branch, by its own test file.

A percentage over the whole hides modules that other tests merely pass through; a pair does not. The tests named here run
in this stage only: `--ignores` prints what the main stage has to leave out.

    python -m tools.coverage_pairs [MODULE …]
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PURE = ("protocol", "auth")
ALSO = ("topics/stream", "settings", "errors", "ids", "clock")
SOURCE = Path("src/clarion")


def modules() -> list[str]:
    """`protocol/session` …: every module of the pure floors, and those pure ones that live elsewhere."""
    found = [
        f"{floor}/{file.stem}"
        for floor in PURE
        for file in sorted((SOURCE / floor).iterdir())
        if file.stem != "__init__" and (file.suffix == ".py" or (file / "__init__.py").is_file())
    ]
    return [*found, *ALSO]


def test_file(module: str) -> Path:
    """Where the tests of a module stand."""
    floor, _, name = module.rpartition("/")
    return Path("tests") / (floor or "ground") / f"test_{name}.py"


def run(module: str) -> tuple[str, bool, str]:
    """Run the module's own tests and ask for every branch of it."""
    dotted = "clarion." + module.replace("/", ".")
    with tempfile.TemporaryDirectory() as folder:
        data = f"--data-file={folder}/coverage"
        is_package = (SOURCE / module).is_dir()
        include = f"--include=src/clarion/{module}{'/*' if is_package else ''}.py"
        tests = [sys.executable, "-m", "coverage", "run", data, "--branch", include]
        tests += ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(test_file(module))]
        done = subprocess.run(tests, capture_output=True, text=True, check=False)
        if done.returncode:
            return dotted, False, done.stdout + done.stderr
        report = [sys.executable, "-m", "coverage", "report", data, include, "--fail-under=100"]
        asked = subprocess.run(report, capture_output=True, text=True, check=False)
        return (
            dotted,
            asked.returncode == 0,
            asked.stdout if asked.returncode else _summary(done.stdout),
        )


def _summary(out: str) -> str:
    return out.strip().rpartition("\n")[2]


def main(arguments: list[str]) -> int:
    """Run the pairs, two at a time; 1 where one has an uncovered branch or a failing test."""
    if arguments == ["--ignores"]:
        print(" ".join(f"--ignore={test_file(module)}" for module in modules()))
        return 0
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for module, is_good, said in pool.map(run, arguments or modules()):
            print(f"{'ok  ' if is_good else 'FAIL'} {module}: {said}", flush=True)
            failed += not is_good
    print(f"{len(arguments or modules()) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
