"""Write the captures of this folder, the same bytes each time: python samples/make.py [FOLDER].

Nothing in them was recorded: each is made of events invented here, so they hold nobody's data and
need neither root nor a kernel. README.md says what each is good for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from wcap.batch import COLUMNS, OPTIONAL, EventBatch
from wcap.events import NO_RESULT, UNKNOWN_TARGET, Bypass, EventFlag, Gap, Process, Target
from wcap.format import Clock, End, Header
from wcap.syscalls import SYSCALLS
from wcap.writer import CaptureWriter

# 2026-01-02T03:04:05Z, an hour after boot.
STARTED_NS = 1_767_323_045_000_000_000
CLOCK = Clock("boottime", 3_600_000_000_000, STARTED_NS)
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
STEP = 9 * MILLISECOND  # between the lines of lossy.wcap
NOTHING = EventFlag(0)


@dataclass(frozen=True, slots=True)
class Write:
    """One write, ``at_ns`` after the start; it succeeds in full unless it says otherwise.

    ``count`` and ``returned`` default to the length of ``data``, ``tid`` and ``comm`` to those of
    the process. An offset, a source and an address bring their flags with them.
    """

    at_ns: int
    process: Process
    data: bytes
    fd: int = 1
    tid: int | None = None
    comm: str | None = None
    count: int | None = None
    returned: int | None = None
    duration_ns: int = 2_400
    flags: EventFlag = NOTHING
    cpu: int = 0
    syscall: str = "write"
    target: Target = UNKNOWN_TARGET
    offset: int | None = None
    source_fd: int | None = None
    source: Target = UNKNOWN_TARGET
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that a CPU lost between two times, in nanoseconds after the start."""

    cpu: int
    count: int
    first_ns: int
    last_ns: int
    cause: str = "buffer-full"
    processes: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Session:
    """A capture as it is written: counts the events of each CPU, as the recorder does."""

    writer: CaptureWriter
    sequences: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    lost_results: Counter[str] = field(default_factory=Counter)

    def events(self, *writes: Write) -> None:
        """Write a chunk of events."""
        self.writer.write(self._batch(writes))

    def losses(self, *losses: Loss) -> None:
        """Write down what was lost before the next events."""
        gaps = []
        for loss in losses:
            first = self.sequences[loss.cpu] + 1
            self.sequences[loss.cpu] += loss.count
            self.lost[loss.cause] += loss.count
            start, end = STARTED_NS + loss.first_ns, STARTED_NS + loss.last_ns
            last, whose = self.sequences[loss.cpu], loss.processes
            gaps.append(Gap(loss.cpu, first, last, loss.count, start, end, loss.cause, whose))
        self.writer.write_gaps(gaps)

    def end(
        self,
        after_ns: int,
        reason: str = "signal",
        exit_status: int | None = None,
        bypassed: tuple[Bypass, ...] = (),
    ) -> None:
        """Close the capture as a recorder does that was asked to stop."""
        self.writer.close(
            End(
                reason,
                CLOCK.clock_ns + after_ns,
                CLOCK.wall_ns + after_ns,
                sequences=dict(self.sequences),
                lost=dict(self.lost),
                lost_results=dict(self.lost_results),
                exit_status=exit_status,
                bypassed=bypassed,
            )
        )

    def _batch(self, writes: Sequence[Write]) -> EventBatch:
        tables: dict[str, list[Any]] = {
            "process": _distinct(write.process for write in writes),
            "comm": _distinct(write.comm or write.process.comm for write in writes),
            "syscall": _distinct(write.syscall for write in writes),
            "target": _distinct(t for write in writes for t in (write.target, write.source)),
            "address": _distinct(write.address or "" for write in writes),
        }
        rows = [self._row(write, tables) for write in writes]
        return EventBatch(
            len(writes),
            {name: np.array([row[name] for row in rows], kind) for name, kind in COLUMNS.items()},
            b"".join(write.data for write in writes),
            processes=tables["process"],
            comms=tables["comm"],
            syscalls=tables["syscall"],
            targets=tables["target"],
            addresses=tables["address"],
        )

    def _row(self, write: Write, tables: dict[str, list[Any]]) -> dict[str, int]:
        self.sequences[write.cpu] += 1
        count = len(write.data) if write.count is None else write.count
        finished = not write.flags & NO_RESULT
        flags = write.flags
        for name in ("offset", "source_fd", "address"):
            if getattr(write, name) is not None:
                flags |= OPTIONAL[name]
        return {
            "time_ns": STARTED_NS + write.at_ns,
            "cpu": write.cpu,
            "sequence": self.sequences[write.cpu],
            "process": tables["process"].index(write.process),
            "tid": write.process.pid if write.tid is None else write.tid,
            "comm": tables["comm"].index(write.comm or write.process.comm),
            "syscall": tables["syscall"].index(write.syscall),
            "fd": write.fd,
            "count": count,
            "captured": len(write.data),
            "returned": finished * (count if write.returned is None else write.returned),
            "duration_ns": finished * write.duration_ns,
            "flags": int(flags),
            "target": tables["target"].index(write.target),
            "offset": write.offset or 0,
            "source_fd": write.source_fd or 0,
            "source": tables["target"].index(write.source),
            "address": tables["address"].index(write.address or ""),
        }


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def header(*given: str, command: tuple[str, ...] | None = None, snaplen: int = 4096) -> Header:
    """Return the header of a recording that these words after ``wcap`` started."""
    return Header(
        clock=CLOCK,
        snaplen=snaplen,
        syscalls=("write",),
        transport="ring-buffer",
        kernel={"release": "6.1.0-28-amd64", "version": "#1 SMP Debian", "machine": "x86_64"},
        host="samples",
        boot_id="5a3c1de0-77aa-4c0e-9b6e-0d2f4a1b8c55",
        filters={
            "given": list(given),
            "resolved": {
                "comms": [name for option, name in pairwise(given) if option == "-c"],
                "follow": command is not None,
            },
        },
        command=command,
        versions={"wcap": "0.1.0"},
    )


def hello(session: Session) -> None:
    """A person types three lines to client-tcp, which talks to server-tcp through fd 3."""
    client = Process(4242, "client-tcp", "client-tcp", 4100, 1000, 3_598 * SECOND)
    now = 800 * MILLISECOND
    for line in (b"hello, wcap\n", b"how many bytes was that?\n", "twelve, café\n".encode()):
        session.events(
            Write(now, client, b"Message for server: ", duration_ns=6_100),
            Write(now + 2 * SECOND, client, line, fd=3, duration_ns=38_700),
            Write(now + 2 * SECOND + 410 * MICROSECOND, client, b"Server: " + line),
        )
        now += 2 * SECOND + 900 * MICROSECOND
    session.events(Write(now, client, b"Message for server: ", duration_ns=5_800))
    session.end(now + 1 * SECOND)


def binary(session: Session) -> None:
    """What text tools stumble over, and every way in which a write can be out of the ordinary."""
    packer = Process(5150, "packer", "packer", 4100, 1000, 3_590 * SECOND)
    hostile = replace(packer, pid=5151, comm="pa\x1b[31mck", leader="pa\x1b[31mck")
    large = Write(0, packer, bytes(range(256)), fd=4, count=8192, flags=EventFlag.TRUNCATED)
    writes = (
        Write(0, packer, bytes(range(256))),
        Write(0, packer, b"before\0after\0\0\n"),
        Write(0, packer, b"\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\r\n", fd=2),
        Write(0, packer, b"\xc2\x9b31m \xe2\x80\xaegnp.exe\n", fd=2),
        Write(0, packer, "grüße, 世界 🎉\n".encode()),
        Write(0, packer, b"\xff\xfe not UTF-8 \xc3\n"),
        Write(0, hostile, b"a name with an escape sequence in it\n"),
        Write(0, packer, b'=HYPERLINK("http://example.invalid";"open")\n'),
        Write(0, packer, b""),
        replace(large, duration_ns=91_000),
        replace(large, returned=4096, duration_ns=64_000),
        Write(0, packer, b"no such descriptor\n", fd=99, returned=-9, duration_ns=300),
        Write(0, packer, b"nobody reads this\n", fd=5, returned=-32),
        Write(0, packer, b"the disk is full\n", fd=6, returned=-28, duration_ns=12_000),
        Write(0, packer, b"", fd=4, count=64, returned=-14, flags=EventFlag.UNREADABLE),
        Write(0, packer, b"from a mapped file\n", fd=4, flags=EventFlag.READ_AT_EXIT),
        Write(0, packer, b"its result was lost\n", fd=4, flags=EventFlag.RESULT_LOST),
        Write(0, packer, b"still waiting when recording ended\n", fd=7, flags=EventFlag.UNFINISHED),
    )
    spaced = [replace(write, at_ns=(1 + n) * MILLISECOND) for n, write in enumerate(writes)]
    session.lost_results["buffer-full"] = 1
    session.events(*spaced)
    session.end(1 * SECOND)


def threads(session: Session) -> None:
    """A launched command: a service with two workers on two CPUs, and a child of its own."""
    service = Process(6000, "service", "service", 5999, 1000, 3_600 * SECOND)
    logger = Process(6003, "logger", "logger", 6000, 1000, 3_600 * SECOND + 4 * MILLISECOND)
    writes = [Write(1 * MILLISECOND, service, b"ready\n")]
    for request in range(12):
        at, worker = (10 + 7 * request) * MILLISECOND, request % 2
        done = b"worker %d: request %d done\n" % (worker, request)
        asked = b"GET /item/%d HTTP/1.1\r\nHost: example.invalid\r\n\r\n" % request
        first = Write(
            at,
            service,
            asked,
            fd=8 + worker,
            tid=6001 + worker,
            comm=f"worker/{worker}",
            duration_ns=21_000,
            cpu=worker,
        )
        second = replace(first, at_ns=at + 2 * MILLISECOND, data=done, fd=2, duration_ns=1_900)
        third = Write(at + 3 * MILLISECOND, logger, b"log: " + done, fd=3, cpu=1 - worker)
        writes += [first, second, third]
    session.events(*writes, Write(120 * MILLISECOND, service, b"12 requests\n"))
    session.end(125 * MILLISECOND, "command", exit_status=0)


def interrupted(session: Session) -> None:
    """Numbered lines in three chunks; the end of the last is then cut off (see `main`)."""
    ticker = Process(7001, "ticker", "ticker", 7000, 1000, 3_580 * SECOND)
    for first in (1, 6, 11):
        session.events(
            *(
                Write(n * SECOND, ticker, b"%d) hello, wcap\n" % n, cpu=n % 2)
                for n in range(first, first + 5)
            )
        )


def lossy(session: Session) -> None:
    """A program that wrote faster than the recorder's buffer could take, twice."""
    flood = Process(8080, "flood", "flood", 4100, 1000, 3_599 * SECOND)
    for burst in range(3):
        lines = [b"burst %d, line %d\n" % (burst, line) for line in range(8)]
        start, before = burst * SECOND, (burst - 1) * SECOND
        # A gap reaches from the CPU's last write before it to the CPU's first one after it.
        if burst > 0:
            session.losses(Loss(0, 1_000 * burst + 9, before + 6 * STEP, start))
        if burst == 2:
            session.losses(Loss(1, 17, before + 7 * STEP, start + STEP))
        session.events(
            *(
                Write(start + n * STEP, flood, line, cpu=n % 2, duration_ns=700)
                for n, line in enumerate(lines)
            )
        )
    session.end(3 * SECOND)


LOG = Target("file", "/srv/app.log", (8, 1), 1_311_001)
SPOOL = Target("file", "/tmp/spool", (0, 33), 77, deleted=True)
PAGE = Target("file", "/srv/index.html", (8, 1), 1_311_007)
PIPE = Target("pipe", inode=48_113)
OTHER_PIPE = Target("pipe", inode=48_120)
CLIENT = Target("tcp", inode=48_200, local="127.0.0.1:8080", peer="127.0.0.1:51514")
NAMESERVER = Target("udp", inode=48_201, local="0.0.0.0:53")
JOURNAL = Target("unix", inode=48_202, peer="/run/systemd/journal/socket")
TERMINAL = Target("tty", "/dev/pts/3", (0, 26), 6, from_proc=True)


def calls(session: Session) -> None:
    """A server that uses every system call that is recorded, on every sort of descriptor."""
    server = Process(
        9000, "server", "server", 4100, 1000, 3_591 * SECOND, "/srv/server",
        ("server", "-p", "8080"), 1000, "/system.slice/server.service", 12,
    )  # fmt: skip
    unsent = EventFlag.UNSENT
    moved = {"count": 4096, "data": b"", "flags": EventFlag.NO_PAYLOAD}
    writes: tuple[dict[str, Any], ...] = (
        {"data": b"listening\n", "fd": 1, "target": TERMINAL},
        {"syscall": "pwrite64", "data": b"record 3\n", "fd": 5, "target": SPOOL, "offset": 4096},
        {"syscall": "writev", "data": b"GET / 200\n", "fd": 4, "target": LOG},
        {"syscall": "pwritev", "data": b"two segments", "fd": 5, "target": SPOOL, "offset": 0},
        {"syscall": "pwritev2", "data": b"at the end", "fd": 5, "target": SPOOL},
        {"syscall": "sendto", "data": b"HTTP/1.1 200 OK\r\n\r\n", "fd": 8, "target": CLIENT},
        {"syscall": "sendto", "data": b"\x12\x34answer", "fd": 9, "target": NAMESERVER,
         "address": "[2001:db8::7]:40000"},
        {"syscall": "sendmsg", "data": b"MESSAGE=started\n", "fd": 10, "target": JOURNAL},
        {"syscall": "sendmmsg", "data": b"first", "fd": 9, "target": NAMESERVER,
         "address": "192.0.2.1:5000", "at_ns": 9 * MILLISECOND},
        {"syscall": "sendmmsg", "data": b"second", "fd": 9, "target": NAMESERVER,
         "address": "192.0.2.2:5000", "at_ns": 9 * MILLISECOND, "flags": unsent},
        {"syscall": "sendfile", "fd": 8, "target": CLIENT, "source_fd": 6, "source": PAGE, **moved},
        {"syscall": "splice", "fd": 12, "target": PIPE, "source_fd": 8, "source": CLIENT, **moved,
         "returned": -11},
        {"syscall": "tee", "fd": 14, "target": OTHER_PIPE, "source_fd": 11, "source": PIPE, **moved,
         "returned": 512},
        {"syscall": "vmsplice", "fd": 12, "target": PIPE, **moved},
        {"syscall": "copy_file_range", "fd": 4, "target": LOG, "source_fd": 5, "source": SPOOL,
         "offset": 65_536, **moved, "returned": 4000},
        {"data": b"to an eventfd", "fd": 15, "target": Target("anonymous", "[eventfd]")},
        {"data": b"to nobody knows what", "fd": 16},
    )  # fmt: skip
    session.events(
        *(
            Write(**{"at_ns": place * MILLISECOND, "process": server, **facts})
            for place, facts in enumerate(writes, 1)
        )
    )
    session.end(1 * SECOND)


def exits(session: Session) -> None:
    """Recorded when calls had ended, and what is missing then: an end, writes past the recorder."""
    shipper = Process(9100, "shipper", "shipper", 4100, 1000, 3_592 * SECOND)
    at_exit = EventFlag.AT_EXIT
    start = 9 * MILLISECOND
    session.events(Write(start, shipper, b"shipping\n", flags=at_exit))
    session.losses(Loss(0, 3, start, start + STEP, processes=((9100, 2), (9101, 1))))
    session.events(
        Write(start + STEP, shipper, b"no reader\n", returned=-32, flags=at_exit),
        Write(start + 2 * STEP, shipper, b"the first part", fd=3, count=100_000,
              flags=at_exit | EventFlag.PAYLOAD_LOST),
    )  # fmt: skip
    bypassed = (Bypass(9100, "shipper", "io_uring", 1009), Bypass(9101, "old", "compat"))
    session.end(1 * SECOND, bypassed=bypassed)


SERVICE = ("./service", "--workers", "2")
CAPTURES = (
    (hello, header("record", "-c", "client-tcp", "-o", "hello.wcap")),
    (binary, header("record", "-c", "pa*", "-s", "256", "-o", "binary.wcap", snaplen=256)),
    (threads, header("record", "-o", "threads.wcap", "--", *SERVICE, command=SERVICE)),
    (interrupted, header("record", "-c", "ticker", "-o", "interrupted.wcap")),
    (lossy, header("record", "-c", "flood", "-B", "4M", "-o", "lossy.wcap")),
    (calls, replace(header("record", "-c", "server", "-o", "calls.wcap"), syscalls=SYSCALLS)),
    (exits, replace(header("record", "-c", "shipper", "-o", "exits.wcap"), at="exit")),
)


def main(folder: Path) -> None:
    """Write every capture into a folder."""
    for salt, (fill, described) in enumerate(CAPTURES):
        path = folder / f"{fill.__name__}.wcap"
        with path.open("wb", buffering=0) as stream:
            fill(Session(CaptureWriter(stream, described, salt=salt)))
        if fill is interrupted:
            path.write_bytes(path.read_bytes()[:-100])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
