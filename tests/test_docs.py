"""What the documentation names is there: links, files, headings, tests, variables, make targets."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from taskflow_core import settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    ROOT / name
    for name in subprocess.check_output(
        [
            *("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"),
            *("--exclude-standard", "--", "*.md"),
        ],
        cwd=ROOT,
        text=True,
    ).split("\0")
    if name and (ROOT / name).exists()
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# a path of this repository in backticks, with the name of a test behind two colons or without
NAMED_FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|toml|yml|yaml|json|svg))(?:::(\w+))?`")
VARIABLE = re.compile(r"\b(TASKFLOW_[A-Z_0-9]+)\b")
# read by scripts and tests, not by a settings class
OTHER_VARIABLES = {
    *("TASKFLOW_TEST_POSTGRES_BIN", "TASKFLOW_TEST_REDIS_SERVER", "TASKFLOW_TEST_NO_SKIPS"),
    *("TASKFLOW_URL", "TASKFLOW_EMAIL", "TASKFLOW_PASSWORD"),
}
SOURCES = ("", "api/src", "cli/src", "core/src", "operator/src", "worker/src")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find(page: Path, name: str) -> Path | None:
    """A file as a page names it: from the root, beside the page, or inside a package."""
    bases = [page.parent, *(ROOT / source for source in SOURCES)]
    return next((base / name for base in bases if (base / name).exists()), None)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_there_are_pages() -> None:
    assert ROOT / "README.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(CODE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_named_files_and_tests_exist(page: Path) -> None:
    missing = []
    for name, test in NAMED_FILE.findall(page.read_text()):
        file = find(page, name)
        if file is None or (test and f"def {test}(" not in file.read_text()):
            missing.append(f"{name}::{test}" if test else name)

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_named_variables_are_read_by_somebody(page: Path) -> None:
    known = set(VARIABLE.findall(Path(settings.__file__).read_text())) | OTHER_VARIABLES

    assert set(VARIABLE.findall(page.read_text())) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_named_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    commands = "\n".join(CODE.findall(page.read_text()))

    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_in_pages_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)
