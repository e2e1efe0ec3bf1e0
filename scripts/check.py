"""Everything `make check` checks, one step after the other, all of them even if one fails.

`scripts/check.py lint types` runs those steps only; pre-commit calls them one by one.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SCRIPTS = [".ci/run", "scripts/setup"]
MEMBERS = ["api", "cli", "core", "operator", "worker"]
# file → the `taskflow` command that prints it
GENERATED = {
    "docs/configuration.md": "settings-doc",
    "docs/metrics.md": "metrics-doc",
    "docs/openapi.json": "openapi",
}


class StepFailedError(Exception):
    """What a step found; the message is what its reader needs to mend it."""


def run(program: str, *arguments: str) -> str:
    """Run a program of the environment; return what it printed. Raises `StepFailedError`."""
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepFailedError(done.stdout.strip() or f"{program} ended with {done.returncode}")
    return done.stdout


def last_line(program: str, *arguments: str) -> str:
    """Run a program; return the last line it printed."""
    lines = run(program, *arguments).strip().splitlines()
    return lines[-1] if lines else ""


def generated(command: str) -> str:
    """Return what `taskflow COMMAND` prints."""
    done = subprocess.run(
        [BIN / "taskflow", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StepFailedError(f"taskflow {command} failed:\n{done.stderr.strip()}")
    return done.stdout


def generated_files_are_fresh() -> str:
    """Compare each generated file with what its command prints now."""
    stale = [
        name
        for name, command in GENERATED.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text() != generated(command)
    ]
    if stale:
        raise StepFailedError(f"not what the code says now: {', '.join(stale)}; run: make generate")
    return f"{len(GENERATED)} files"


def generate() -> None:
    """Write the generated files."""
    for name, command in GENERATED.items():
        text = generated(command)
        (ROOT / name).write_text(text)
        print(f"{name}: {len(text.splitlines())} lines")


def workflows() -> str:
    """Check the CI workflows (schema, then security) and the pre-commit configuration."""
    files = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(".github/workflows/*.yml"))
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    run("zizmor", "--offline", "--quiet", "--no-progress", *files)
    run("pre-commit", "validate-config")
    return f"{len(files)} workflows"


def sizes() -> str:
    """Tell how many lines of tests stand against how many of code."""
    code = sum(_lines(ROOT / member / "src") for member in MEMBERS)
    tests = _lines(ROOT / "tests")
    return f"{tests:,} lines of tests for {code:,} lines of code"


def _lines(folder: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.py"))


STEPS: dict[str, Callable[[], str]] = {
    "format": lambda: last_line("ruff", "format", "--check", "."),
    "lint": lambda: last_line("ruff", "check", "."),
    "types": lambda: last_line("mypy"),
    "imports": lambda: last_line("lint-imports"),
    "generated": generated_files_are_fresh,
    "workflows": workflows,
    "shell": lambda: run("shellcheck", *SCRIPTS) or f"{len(SCRIPTS)} scripts",
    "sizes": sizes,
}


def check(names: Sequence[str]) -> int:
    """Run steps, a line for each; return how many failed."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    good, bad, plain = ("\033[32m", "\033[31m", "\033[0m") if colour else ("", "", "")
    failed = []
    began = time.monotonic()
    for name in names:
        print(f"{name:<10}", end=" ", flush=True)
        started = time.monotonic()
        try:
            said, mark = STEPS[name](), f"{good}✓{plain}"
        except StepFailedError as error:
            said, mark = f"\n{error}\n", f"{bad}✗{plain}"
            failed.append(name)
        print(f"{mark} {time.monotonic() - started:5.1f} s  {said}", flush=True)
    passed = len(names) - len(failed)
    end = f"; failed: {', '.join(failed)}" if failed else ""
    print(f"{passed} of {len(names)} checks passed in {time.monotonic() - began:.0f} s{end}")
    return len(failed)


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of: {', '.join(STEPS)}")
    parser.add_argument("--generate", action="store_true", help="write the generated files instead")
    arguments = parser.parse_args()
    unknown = set(arguments.steps) - set(STEPS)
    if unknown:
        parser.error(f"no such step: {', '.join(sorted(unknown))}; there are: {', '.join(STEPS)}")
    if arguments.generate:
        try:
            generate()
        except StepFailedError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    return 1 if check(arguments.steps or list(STEPS)) else 0


if __name__ == "__main__":
    sys.exit(main())
