"""What recording needs from the machine, and what is said where it is absent."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest
from kernel.support import ENVIRONMENT, record

from wcap.cli import main
from wcap.recorder import compiler

pytestmark = pytest.mark.kernel


def test_tracefs_is_mounted_where_it_is_not_and_that_is_said(tmp_path):
    # In a mount namespace of its own, so that nobody else notices.
    without = 'umount -l /sys/kernel/debug /sys/kernel/tracing 2>/dev/null; exec "$@"'

    recorded = record(
        *("--", "sh", "-c", "echo hi; mount"),
        output=tmp_path / "run.wcap",
        before=("unshare", "--mount", "sh", "-c", without, "sh"),
    )

    assert recorded.status == 0
    assert recorded.said[0].startswith("wcap: mounted tracefs")
    assert recorded.payloads[0] == b"hi\n"
    assert b"on /sys/kernel/tracing type tracefs" in recorded.stdout


def test_without_root_or_capabilities_one_line_says_so(tmp_path):
    output = tmp_path / "run.wcap"
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    recorded = record("--all", output=output, before=powerless)

    assert recorded.status == 1
    [line] = recorded.said
    assert "root" in line
    assert "CAP_BPF" in line
    assert not output.exists()


def test_in_a_container_with_its_own_process_numbers_nothing_is_recorded_wrongly(tmp_path):
    container = ("unshare", "--pid", "--fork", "--mount-proc")

    recorded = record("--", "echo", "hi", output=tmp_path / "run.wcap", before=container)

    assert recorded.status == 1
    assert "--pid=host" in recorded.said[-1]
    assert recorded.stdout == b""


def test_a_recording_that_cannot_start_leaves_the_file_that_it_was_to_replace(tmp_path):
    output = tmp_path / "run.wcap"
    output.write_text("precious")
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    recorded = record("--all", "--force", output=output, before=powerless)

    assert recorded.status == 1
    assert output.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(
    ("found", "expected"),
    [(None, "bcc is not installed"), (types.ModuleType("bcc"), "PyPI's, an unrelated package")],
    ids=["no bcc", "PyPI's"],
)
def test_without_bcc_one_line_says_how_to_get_it(found, expected, tmp_path, monkeypatch, capsys):
    output = tmp_path / "run.wcap"
    monkeypatch.setitem(sys.modules, "bcc", found)
    monkeypatch.setattr(compiler, "_DISTRIBUTION", ())

    assert main(["record", "--all", "-o", str(output)]) == 1

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert expected in err
    assert "apt install python3-bpfcc" in err
    assert not output.exists()


def test_the_distribution_s_bcc_is_found_behind_pypi_s(tmp_path):
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc/__init__.py").write_text("lattice = True\n")
    code = "from wcap.recorder.compiler import import_bcc; print(import_bcc().BPF.__name__)"

    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"},
        capture_output=True,
        check=True,
    )

    assert run.stdout == b"BPF\n"


class _PerfCounter:
    """Counts how often this process reaches a tracepoint, as ``perf stat`` does."""

    # include/uapi/linux/perf_event.h
    _PERF_EVENT_OPEN = {"x86_64": 298}.get(platform.machine(), 241)
    _TYPE_TRACEPOINT, _SIZE = 2, 64

    def __init__(self, tracepoint: str) -> None:
        number = Path(f"/sys/kernel/tracing/events/{tracepoint}/id").read_text()
        attributes = struct.pack("=IIQ", self._TYPE_TRACEPOINT, self._SIZE, int(number))
        self._descriptor = ctypes.CDLL(None, use_errno=True).syscall(
            self._PERF_EVENT_OPEN, attributes.ljust(self._SIZE, b"\0"), 0, -1, -1, ctypes.c_ulong(0)
        )
        assert self._descriptor >= 0, os.strerror(ctypes.get_errno())

    def read(self) -> int:
        return struct.unpack("=Q", os.read(self._descriptor, 8))[0]

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.mark.parametrize(
    "tracepoint", ["syscalls/sys_enter_write", "syscalls/sys_exit_write", "task/task_newtask"]
)
def test_whoever_else_traces_the_same_calls_through_perf_is_not_disturbed(tracepoint, tmp_path):
    def work() -> None:
        counter = _PerfCounter(tracepoint)
        for _ in range(23):
            os.write(null, b"x")
            subprocess.run(["true"], check=True)
        counted.append(counter.read())
        counter.close()

    counted: list[int] = []
    null = os.open(os.devnull, os.O_WRONLY)

    record("-p", str(os.getpid()), "-f", output=tmp_path / "run.wcap", during=work)
    os.close(null)

    assert counted[0] >= 23
