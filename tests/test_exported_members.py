from __future__ import annotations

import subprocess
import sys

import pytest
from support import batch_of, write, write_capture

import wcap


def test_the_public_names_are_sorted_and_complete():
    assert sorted(wcap.__all__, key=lambda name: (not name.isupper(), name)) == wcap.__all__
    assert set(wcap.__all__) == {*wcap._HOME, "__version__"}


@pytest.mark.parametrize("name", wcap.__all__)
def test_every_public_name_is_there(name):
    assert getattr(wcap, name) is not None


def test_every_exception_is_public():
    from wcap import errors

    assert {name for name in vars(errors) if name.endswith("Error")} <= set(wcap.__all__)


def test_open_is_the_reader():
    from wcap.reader import open_capture

    assert wcap.open is open_capture


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        wcap.nothing  # noqa: B018


def run_apart(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_takes_no_numpy_until_it_is_needed():
    program = """
import sys, wcap
heavy = {"numpy", "msgpack", "zstandard", "bcc", "rich", "typer"}
print(sorted(heavy & set(sys.modules)))
wcap.WcapError
print(sorted(heavy & set(sys.modules)))
wcap.open
print("numpy" in sys.modules)
wcap.EventBatch
print("numpy" in sys.modules)
"""
    assert run_apart(program).splitlines() == ["[]", "[]", "False", "True"]


def test_what_the_index_says_is_told_without_loading_what_decodes_events(tmp_path):
    path = write_capture(tmp_path / "run.wcap", batch_of(write()))
    program = f"""
import sys
from wcap.cli import main
status = main(["info", {str(path)!r}])
print(status, sorted({{"numpy", "pydantic", "rich", "bcc"}} & set(sys.modules)))
"""
    assert run_apart(program).splitlines()[-1] == "0 []"


def test_everything_public_works_without_bcc():
    program = """
import sys
sys.modules["bcc"] = None  # as if it were not installed
import wcap
for name in wcap.__all__:
    getattr(wcap, name)
"""
    assert run_apart(program) == ""
