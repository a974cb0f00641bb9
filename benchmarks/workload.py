"""The workload: a program in C that makes calls of one kind, flat out, and times them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launch import MeasurementError

SIZES = (0, 64, 255, 4096, 65536)


@dataclass(frozen=True, slots=True)
class Workload:
    """What the writer is to do.

    Attributes:
        size: bytes of a write.
        threads: that write at once, each to a descriptor of its own.
        sink: where to: null, pipe, tcp or file.
        call: write or getppid.
    """

    size: int = 64
    threads: int = 1
    sink: str = "null"
    call: str = "write"

    def command(self, writer: Path, calls: int = 0, seconds: float = 0) -> list[str]:
        """Return the command line: so many calls or seconds, 0 for no limit."""
        sink = str(writer.with_name("written")) if self.sink == "file" else self.sink
        words = [str(writer), "-n", str(calls), "-d", f"{seconds:g}", "-s", str(self.size)]
        return [*words, "-t", str(self.threads), "-o", sink, "-c", self.call]


@dataclass(frozen=True, slots=True)
class Report:
    """What the writer said at its end.

    Attributes:
        calls: made.
        elapsed_ns: from the first to the last.
        threads_ns: that each thread took for its own, added up.
        threads_cpu_ns: CPU time that they took of it.
        cpu_ns: CPU time of the whole process and of those who read what it writes.
    """

    calls: int
    elapsed_ns: int
    threads_ns: int
    threads_cpu_ns: int
    cpu_ns: int

    @classmethod
    def parse(cls, line: str) -> Report:
        """Read the writer's last line.

        Raises:
            MeasurementError: that is not what it says.
        """
        try:
            calls, elapsed_ns, threads_ns, threads_cpu_ns, cpu_us = map(int, line.split())
        except ValueError:
            raise MeasurementError(f"five numbers of the writer expected, {line!r} found") from None
        return cls(calls, elapsed_ns, threads_ns, threads_cpu_ns, cpu_us * 1_000)


def compile_writer(folder: Path) -> Path:
    """Compile the writer into a folder.

    Raises:
        MeasurementError: there is no C compiler, or it fails.
    """
    source, program = Path(__file__).with_name("writer.c"), folder / "writer"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
    try:
        subprocess.run(["cc", *flags, "-o", str(program), str(source)], check=True)
    except FileNotFoundError:
        raise MeasurementError("cc not found: the writer is in C; install gcc or clang") from None
    except subprocess.CalledProcessError:
        raise MeasurementError(f"cc cannot compile {source.name}") from None
    return program
