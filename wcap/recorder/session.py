"""A recording from start to end: find out, load, attach, record, stop, close."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

from wcap import __version__
from wcap.errors import RecordError
from wcap.events import Bypass
from wcap.format import Clock, End, Header
from wcap.recorder import kernel
from wcap.recorder.assemble import Assembler
from wcap.recorder.bypass import of_32_bits, untold
from wcap.recorder.clock import CaptureClock
from wcap.recorder.command import Command
from wcap.recorder.flight import FlightRecorder
from wcap.recorder.perf import PerfBuffers
from wcap.recorder.pipeline import BATCH_AGE_NS, Pipeline, Transport
from wcap.recorder.priority import ahead_of_others
from wcap.recorder.probe import Probe, ProbeOptions
from wcap.recorder.proc import descendants
from wcap.recorder.recording import Keeper, OneFile, Recording, Result
from wcap.recorder.resolved import resolved
from wcap.recorder.ring import RingBuffer
from wcap.recorder.settings import (
    RING_BUFFER,
    RING_PAGE,
    Settings,
    buffer_size,
    choose_transport,
)
from wcap.recorder.stopping import STOP_ABOVE, Stopper
from wcap.recorder.target import Target
from wcap.rotation import PartFiles, PartLimits, Rotation
from wcap.seams import Cut
from wcap.writer import CaptureWriter

# A perf buffer on old kernels does not say why it lost something.
UNKNOWN_CAUSE = "unknown"
# With someone watching, events are shown this soon.
_WATCHED_AGE_NS = 100_000_000
# How long a launched command has to end after it was told to.
_END_SECONDS = 2.0
# How long calls that are under way at the end have to finish, and then programs in the kernel.
_LAST_WRITES_SECONDS = 0.01


class Session:
    """A recording that has been prepared; nothing is recorded before `run`.

    Args:
        target: whom to record.
        settings: how.
        given: the command line's words, for the header.
        say: called with each remark for the user.

    Raises:
        RecordError: it cannot be done here; the message says why and what helps.
    """

    def __init__(
        self,
        target: Target,
        settings: Settings,
        *,
        given: Sequence[str] = (),
        excluded: Sequence[int] = (),
        say: Callable[[str], None] = lambda remark: None,
    ) -> None:
        self._target = target
        self._settings = settings
        self._given = tuple(given)
        self._say = say
        self._stop = threading.Event()
        self._reason = ""
        self._dump: Callable[[], None] | None = None
        self._warnings: list[str] = []
        self._bypassed: dict[tuple[int, str], Bypass] = {}
        self._excluded = (os.getpid(), *sorted(excluded))
        self._by_path = bool(target.paths or target.left_out.paths)
        self._check_target()
        self._prepare_kernel()
        self._clock = CaptureClock()
        self._transport_name = choose_transport(settings)
        self._buffer_bytes = buffer_size(settings, self._transport_name)
        if self._buffer_bytes >= 2 * settings.buffer_bytes:
            least = "--lossless with this snaplen" if settings.lossless else "this snaplen"
            say(f"the buffer takes {self._buffer_bytes:,} bytes, the least for {least}")
        self._command = None if target.command is None else Command(target.command)
        try:
            self._probe = Probe(self._probe_options())
        except BaseException:
            if self._command is not None:
                self._command.abandon()
            raise
        if not self._probe.knows_tasks:
            self._warn("no BTF: names of process leaders are not compared, parents come from /proc")

    def stop(self, reason: str) -> None:
        """End the recording; the first reason counts. Any thread or signal handler may call it."""
        self._reason = self._reason or reason
        self._stop.set()

    def dump(self) -> None:
        """Write what is kept in memory to a file, soon; of any other recording it does nothing.

        Any thread or signal handler may call it.
        """
        if self._dump is not None:
            self._dump()

    def run(
        self,
        stream: BinaryIO | None,
        *,
        begins: Callable[[int], None] = lambda wall_ns: None,
        started: Callable[[], None] = lambda: None,
        watch: Callable[[Cut], None] | None = None,
        parts: PartFiles | None = None,
    ) -> Result:
        """Record until told to stop; the capture is whole and closed afterwards.

        Args:
            stream: where to write the capture, unbuffered; it stays open. None when events are
                kept in memory.
            begins: called with the wall clock at which the recording's time begins, before anything
                is written.
            started: called once recording has really begun.
            watch: called with what was recorded, soon after it happened.
            parts: opens the files after the first, where the settings want several; of these all
                but the last are closed.

        Raises:
            OSError: the capture could not be written; what was written before is whole.
            ProbeError: the program could not be attached.
        """
        clock = Clock(self._clock.name, *self._clock.moment())
        begins(clock.wall_ns)
        lost = (lambda: self.stop("loss")) if self._settings.stop_on_loss else lambda: None
        keeper = self._keeper(stream, self._header(clock), parts)
        recording = Recording(keeper, watch, lost)
        assembler = self._assembler(clock)
        with (
            contextlib.closing(self._probe),
            contextlib.closing(self._open_transport()) as source,
            ahead_of_others(),
            self._stopping(source) as drained,
        ):
            pipeline = self._pipeline(source, assembler, recording, drained)
            if isinstance(keeper, FlightRecorder):
                self._dump = lambda: pipeline.flush(lambda: self._write_out(keeper, parts))
            try:
                lost_results = self._record(pipeline, started)
            except BaseException:
                self._give_up(pipeline, recording, assembler)
                raise
            if pipeline.enough:  # what was seen and lost after that is not missed
                sequences = assembler.recorded()
            else:
                sequences = assembler.numbered(self._probe.sequences())
                recording.deliver(Cut(gaps=assembler.finish(sequences, self._clock.now())))
                recording.note_lost_results(lost_results)
            end = self._end(recording, sequences)
            recording.close(end)
            return recording.result(end, clock)

    def _pipeline(
        self,
        source: Transport,
        assembler: Assembler,
        recording: Recording,
        drained: Callable[[], None],
    ) -> Pipeline:
        return Pipeline(
            source,
            assembler,
            self._clock.now,
            recording.deliver,
            lambda: self.stop("count"),
            buffer_bytes=self._buffer_bytes,
            most=self._settings.most,
            batch_age_ns=_WATCHED_AGE_NS if recording.watched else BATCH_AGE_NS,
            drained=drained,
        )

    def _write_out(self, keeper: FlightRecorder, parts: PartFiles | None) -> None:
        """Write what is kept; where that fails, it stays in memory, and the recording goes on."""
        try:
            keeper.dump()
        except OSError as error:
            self._say(f"{error.filename}: {error.strerror}: not written")
        else:
            self._say(f"{keeper.events:,} events written: {parts and parts.last}")

    def _keeper(self, stream: BinaryIO | None, header: Header, parts: PartFiles | None) -> Keeper:
        settings = self._settings
        if settings.keeps:
            assert parts is not None
            return FlightRecorder(
                header,
                parts,
                self._clock.now,
                lambda: self._standing("dump"),
                most_bytes=settings.kept_bytes,
                most_ns=settings.kept_ns,
            )
        assert stream is not None
        if parts is None or not settings.rotates:
            return OneFile(CaptureWriter(stream, header))
        # By size the count is that of a ring of files, which has no end.
        count = None if settings.part_ns is None else settings.part_count
        limits = PartLimits(settings.part_bytes, settings.part_ns, count)
        return Rotation(header, stream, parts, limits, lambda: self._standing("rotation"))

    def _check_target(self) -> None:
        self._target.check()
        if echoing := self._target.named().intersection(self._excluded):
            raise RecordError(
                f"process {min(echoing)} gets what this recording writes to standard output: "
                "recording it would never end; write to a file"
            )
        for pattern in self._target.awaited():
            self._say(f"-c {pattern}: no process or thread has this name yet")

    def _prepare_kernel(self) -> None:
        kernel.check_permission()
        if self._target.pid_namespaces or self._target.left_out.pid_namespaces:
            kernel.check_namespaces()
        kernel.raise_memlock()
        if kernel.mount_tracefs():
            self._say("mounted tracefs, which the tracepoints are described in")

    def _probe_options(self) -> ProbeOptions:
        target, settings = self._target, self._settings
        return ProbeOptions(
            snaplen=settings.snaplen,
            ring_pages=self._ring_pages(),
            clock=self._clock.name,
            excluded=self._excluded,
            chosen=target,
            left_out=target.left_out,
            targets=target.by_number,
            either=target.either,
            follow=target.follows,
            syscalls=settings.syscalls,
            at_exit=settings.at_exit,
            stop_at=int(self._buffer_bytes * STOP_ABOVE) if settings.lossless else None,
        )

    def _assembler(self, clock: Clock) -> Assembler:
        return Assembler(
            clock,
            self._cause,
            losers_of=self._probe.losers,
            bypassed=self._tell_bypass,
            at_exit=self._settings.at_exit,
            from_proc=not self._probe.knows_files,
            wants=self._target.wants if self._by_path else None,
            ignore=self._probe.ignore,
        )

    @contextlib.contextmanager
    def _stopping(self, source: Transport) -> Iterator[Callable[[], None]]:
        """Yield what to call when the buffer has been drained, so that stopped writers go on."""
        if not (self._settings.lossless and isinstance(source, RingBuffer)):
            yield lambda: None
            return
        stopper = Stopper(self._buffer_bytes, self._probe.stopped)
        try:
            yield lambda: stopper.drained(source.filled)
        finally:
            stopper.close()

    def _record(self, pipeline: Pipeline, started: Callable[[], None]) -> Counter[str]:
        """Record from first to last, and return the results that were lost, by cause."""
        self._attach()
        pipeline.start()
        started()
        self._wait()
        # From here on there are ends without beginnings, whose loss does not matter.
        lost_results = self._lost_results()
        self._probe.end_entries()
        time.sleep(_LAST_WRITES_SECONDS)
        self._probe.end_exits()
        time.sleep(_LAST_WRITES_SECONDS)
        pipeline.stop()
        return lost_results

    def _give_up(self, pipeline: Pipeline, recording: Recording, assembler: Assembler) -> None:
        """Close the capture as well as can be, with the truth of what was seen."""
        self._reason = "error"
        if self._command is not None and not self._command.started:
            self._command.abandon()
        with contextlib.suppress(Exception):
            pipeline.stop()
        with contextlib.suppress(OSError):
            sequences = assembler.numbered(self._probe.sequences())
            recording.close(self._end(recording, sequences))

    def _attach(self) -> None:
        self._probe.attach_processes()
        if self._command is not None:
            self._probe.add_target(self._command.pid, follow=True)
        if self._target.by_number:
            self._add_running()
        self._probe.attach_writes()
        for bypass in of_32_bits(self._target.running()):
            self._tell_bypass(bypass)

    def _add_running(self) -> None:
        """Add the running processes chosen, and their children if these are followed.

        What is forked from now on the kernel side adds; looking until nothing new is found closes
        the time before.
        """
        known: set[int] = set()
        while True:
            chosen = self._target.roots()
            if self._target.follow:
                chosen = descendants(chosen)
            new = chosen - known - set(self._excluded)
            if not new:
                return
            for pid in new:
                self._probe.add_target(pid, follow=self._target.follow)
            known |= new

    def _wait(self) -> None:
        """Return when the recording is to end; a launched command is let go first."""
        command = self._command
        if command is not None:
            command.start()
            threading.Thread(target=self._await_command, args=(command,), daemon=True).start()
        duration, parts = self._settings.duration_ns, self._settings.lasts_ns
        longest = min((time for time in (duration, parts) if time is not None), default=None)
        if not self._stop.wait(None if longest is None else longest / 1e9):
            if longest == duration:
                self.stop("duration")
            else:
                self.stop("parts")
        if command is not None and not command.ended.is_set():
            command.terminate()
            if not command.ended.wait(_END_SECONDS):
                self._warn(f"the command, process {command.pid}, runs on: SIGTERM did not end it")

    def _await_command(self, command: Command) -> None:
        command.wait()
        self.stop("command")

    def _lost_results(self) -> Counter[str]:
        lost: Counter[str] = Counter()
        for of_cpu in self._probe.losses():
            lost.update(of_cpu.results)
        return lost

    def _end(self, recording: Recording, sequences: Mapping[int, int]) -> End:
        end = self._standing(self._reason)
        for warning in end.warnings[len(self._warnings) :]:
            self._say(warning)
        return replace(
            end,
            sequences=sequences,
            lost=dict(recording.lost),
            lost_results=dict(recording.lost_results),
            exit_status=None if self._command is None else self._command.status,
        )

    def _standing(self, reason: str) -> End:
        """Return what an end says of the whole recording, besides what is counted for each file."""
        losses = self._probe.losses()
        warnings = list(self._warnings)
        if follows := sum(of_cpu.follows for of_cpu in losses):
            warnings.append(f"{follows} children could not be followed: more than 65536 processes")
        if processes := sum(of_cpu.processes for of_cpu in losses):
            warnings.append(
                f"{processes} descriptions of processes were lost: facts come from /proc"
            )
        if targets := sum(of_cpu.targets for of_cpu in losses):
            warnings.append(
                f"{targets} descriptions of targets were lost: not all targets are known"
            )
        clock_ns, wall_ns = self._clock.moment()
        return End(
            reason=reason,
            clock_ns=clock_ns,
            wall_ns=wall_ns,
            unfollowed=follows,
            warnings=tuple(warnings),
            bypassed=tuple(self._counted_bypasses()),
        )

    def _counted_bypasses(self) -> Iterator[Bypass]:
        counts = self._probe.bypasses()
        for bypass in list(untold(counts, self._bypassed)):
            self._tell_bypass(bypass)
        for (pid, how), bypass in self._bypassed.items():
            yield replace(bypass, count=counts.get((pid, how)) if how == "io_uring" else None)

    def _header(self, clock: Clock) -> Header:
        settings = self._settings
        return Header(
            clock=clock,
            snaplen=settings.snaplen,
            syscalls=settings.syscalls,
            at="exit" if settings.at_exit else "enter",
            transport=self._transport_name,
            kernel=kernel.facts(),
            host=os.uname().nodename,
            boot_id=kernel.boot_id(),
            filters={
                "given": list(self._given),
                "resolved": resolved(
                    self._target,
                    comms_of="thread or leader" if self._probe.knows_tasks else "thread",
                    command_pid=None if self._command is None else self._command.pid,
                    excluded=self._excluded,
                ),
            },
            command=self._target.command,
            versions={
                "wcap": __version__,
                "bcc": self._probe.bcc_version,
                "python": sys.version.split()[0],
            },
            warnings=tuple(self._warnings),
        )

    def _ring_pages(self) -> int | None:
        return self._buffer_bytes // RING_PAGE if self._transport_name == RING_BUFFER else None

    def _open_transport(self) -> Transport:
        if self._transport_name == RING_BUFFER:
            return RingBuffer(self._probe.events_fd, self._buffer_bytes)
        return PerfBuffers(self._probe.set_perf_buffer, self._buffer_bytes, self._clock.now)

    def _cause(self, cpu: int) -> str:
        causes = self._probe.losses()[cpu].events
        return max(causes, key=causes.__getitem__, default=UNKNOWN_CAUSE)

    def _tell_bypass(self, bypass: Bypass) -> None:
        self._bypassed[bypass.pid, bypass.how] = bypass
        self._say(f"{bypass.told}: that cannot be recorded")

    def _warn(self, warning: str) -> None:
        self._warnings.append(warning)
        self._say(warning)
