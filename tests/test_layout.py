"""Guards of the tree that no linter has: above all, `operator/` is a folder and never a package.

As a package it hides the standard library's `operator` from every Python started at the root; even
`python -m pip` dies then.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = ["api", "cli", "core", "operator", "worker"]


def tracked(pattern: str) -> list[Path]:
    """Files that git knows or would add, by a pattern of `git ls-files`; none that it ignores."""
    listed = subprocess.check_output(
        [
            "git",
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            pattern,
        ],
        cwd=ROOT,
        text=True,
    )
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).exists()]


def test_nothing_at_the_root_is_called_like_the_standard_library() -> None:
    modules = {path.stem for path in ROOT.glob("*.py")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert not (modules | packages) & sys.stdlib_module_names


def test_the_operator_folder_is_no_package_and_holds_no_tests() -> None:
    found = tracked("operator/*.py")

    assert not [path for path in found if path.parent == Path("operator")]
    assert not [path for path in found if path.name.startswith(("test_", "conftest"))]
    assert [path for path in found if path.parts[1:3] == ("src", "taskflow_operator")]


@pytest.mark.parametrize("start", [["-c", "import operator, collections"], ["-m", "json.tool"]])
def test_python_started_at_the_root_finds_its_own_operator(start: list[str]) -> None:
    # -S: an editable install must not help
    done = subprocess.run(
        [sys.executable, "-S", *start],
        cwd=ROOT,
        input="{}",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_the_import_of_operator_is_the_standard_librarys() -> None:
    file = subprocess.check_output(
        [sys.executable, "-S", "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT,
        text=True,
    )

    assert ROOT not in Path(file.strip()).parents


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_typed_private_and_named_for_its_folder(member: str) -> None:
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]

    assert project["name"] == f"taskflow-{member}"
    assert "Private :: Do Not Upload" in project["classifiers"]
    assert project["requires-python"] == ">=3.12"
    assert (ROOT / member / "src" / f"taskflow_{member}" / "py.typed").exists()


def test_the_workspace_has_exactly_these_members() -> None:
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]

    assert sorted(workspace["members"]) == MEMBERS


def test_all_members_have_one_version() -> None:
    versions = {
        tomllib.loads((ROOT / member / "pyproject.toml").read_text())["project"]["version"]
        for member in [*MEMBERS, "."]
    }

    assert len(versions) == 1


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in tracked("tests/*.py")}

    assert not [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()]


def test_tests_mirror_the_packages() -> None:
    for kind in ("unit", "integration"):
        folders = {
            path.parts[2]
            for path in tracked(f"tests/{kind}/taskflow_*/*.py")
            if len(path.parts) > 3
        }

        assert folders <= {f"taskflow_{member}" for member in MEMBERS}


def test_tests_are_only_in_tests_and_examples() -> None:
    stray = [
        str(path)
        for pattern in ("*test_*.py", "*conftest.py")
        for path in tracked(pattern)
        if path.name.startswith(("test_", "conftest"))
        and path.parts[0] not in {"tests", "examples"}
    ]

    assert stray == []
