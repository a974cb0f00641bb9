from __future__ import annotations

import sys
from types import ModuleType

import pytest

from wcap.errors import MissingDependencyError
from wcap.recorder import compiler
from wcap.recorder.compiler import explained, give_back_memory, import_bcc, messages_kept


@pytest.fixture
def no_bcc(monkeypatch, tmp_path):
    """Take bcc away from here and from the distribution's folders; yield one of those."""
    for name in [name for name in sys.modules if name == "bcc" or name.startswith("bcc.")]:
        monkeypatch.delitem(sys.modules, name)
    place = tmp_path / "dist-packages"
    place.mkdir()
    monkeypatch.setattr(compiler, "_DISTRIBUTION", (f"{tmp_path}/dist-*",))
    monkeypatch.setattr(sys, "path", [])
    yield place
    for name in [name for name in sys.modules if name == "bcc" or name.startswith("bcc.")]:
        del sys.modules[name]


def install(place, text, **modules):
    package = place / "bcc"
    package.mkdir()
    (package / "__init__.py").write_text(text)
    for name, body in modules.items():
        (package / f"{name}.py").write_text(body)


def test_bcc_that_is_nowhere_is_an_error_that_says_how_to_get_it(no_bcc):
    with pytest.raises(MissingDependencyError, match="apt install python3-bpfcc") as caught:
        import_bcc()

    assert "pip uninstall" not in str(caught.value)


def test_bcc_of_pypi_is_told_apart(no_bcc, monkeypatch):
    monkeypatch.setitem(sys.modules, "bcc", ModuleType("bcc"))

    with pytest.raises(MissingDependencyError, match=r"PyPI's.*pip uninstall bcc.*apt install"):
        import_bcc()


def test_bcc_that_is_here_is_taken(no_bcc, monkeypatch):
    real = ModuleType("bcc")
    real.BPF = object
    monkeypatch.setitem(sys.modules, "bcc", real)

    assert import_bcc() is real


@pytest.mark.parametrize("impostor", [False, True])
def test_the_distributions_bcc_is_found_although_it_is_not_on_the_path(
    impostor, no_bcc, monkeypatch
):
    install(no_bcc, "from .table import BPF\n", table="class BPF: pass\n")
    if impostor:
        monkeypatch.setitem(sys.modules, "bcc", ModuleType("bcc"))
        monkeypatch.setitem(sys.modules, "bcc.table", ModuleType("bcc.table"))

    found = import_bcc()

    assert found.__file__ == str(no_bcc / "bcc/__init__.py")
    assert found.BPF.__name__ == "BPF"
    assert sys.modules["bcc"] is found


def test_a_bcc_whose_library_is_missing_is_an_error_that_says_so(no_bcc):
    install(no_bcc, "import ctypes\nctypes.CDLL('libwcap-no-such.so.0')\n")

    with pytest.raises(MissingDependencyError, match=r"bcc in .* cannot be loaded: libwcap"):
        import_bcc()

    assert "bcc" not in sys.modules


def test_a_bcc_on_the_path_whose_library_is_missing_is_no_traceback(no_bcc, monkeypatch, tmp_path):
    place = tmp_path / "site"
    place.mkdir()
    install(place, "import ctypes\nctypes.CDLL('libwcap-no-such.so.0')\n")
    monkeypatch.setattr(sys, "path", [str(place)])

    with pytest.raises(MissingDependencyError, match="apt install"):
        import_bcc()


def test_what_is_printed_while_compiling_is_kept_from_the_terminal(capfd):
    with messages_kept() as messages:
        print("error: nothing works", file=sys.__stderr__, flush=True)
        assert messages() == "error: nothing works\n"

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", "refused: Failed to compile"),
        ("a\nb.c:3:1: error: unknown type\nc\n", "Failed to compile: b.c:3:1: error: unknown type"),
        ("1: insn\nR1 invalid mem access\n", "Failed to compile: R1 invalid mem access"),
        ("bpf: Operation not permitted\nx\n", "Failed to compile: bpf: Operation not permitted"),
    ],
)
def test_a_refused_program_is_told_in_one_line_and_the_log_is_kept(log, told):
    error = explained(Exception("Failed to compile"), log)

    assert told in str(error)
    assert "\n" not in str(error)
    assert error.log == log


def test_memory_is_given_back_and_the_library_still_runs(monkeypatch):
    """Here it is the C library that stands for the compiler's."""
    monkeypatch.setattr(compiler, "_COMPILER", ("/libc.so", "/libc-"))

    give_back_memory()

    assert sorted([3, 1, 2]) == [1, 2, 3]
