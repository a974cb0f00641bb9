"""What pyproject.toml, requirements.lock and CHANGELOG.md promise about the package."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import wcap

ROOT = Path(__file__).parents[1]
PACKAGE = Path(wcap.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


def named(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return found.group().lower()


def imported() -> set[str]:
    """The top-level packages that wcap's modules import, anywhere in them."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"wcap"}


def test_what_is_imported_is_what_is_declared():
    declared = {named(requirement) for requirement in PROJECT["project"]["dependencies"]}

    # typer depends on rich; bcc comes from the distribution, for the package of that name on PyPI
    # is another one.
    assert imported() - {"bcc", "rich"} == declared


def test_bcc_is_no_dependency():
    groups = [PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"].values()]

    assert "bcc" not in {named(requirement) for group in groups for requirement in group}
    assert not re.search(r"^bcc\b", LOCK, re.MULTILINE)


def test_the_lock_pins_everything_that_is_asked_for():
    pinned = set(re.findall(r"^([a-z0-9-]+)==", LOCK, re.MULTILINE))
    groups = [
        PROJECT["build-system"]["requires"],
        PROJECT["project"]["dependencies"],
        PROJECT["dependency-groups"]["dev"],
    ]

    assert {named(requirement) for group in groups for requirement in group} <= pinned


def test_every_pin_has_hashes_and_no_place():
    pins = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]

    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in LOCK


def test_the_package_brings_its_bpf_program_and_its_types():
    held = {path.name for path in files("wcap").joinpath("bpf").iterdir()}

    assert {"headers", "write.c"} <= held
    assert files("wcap").joinpath("py.typed").is_file()


def test_the_changelog_knows_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()

    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert versions[0] in ("Unreleased", wcap.__version__)
    assert wcap.__version__ in versions
