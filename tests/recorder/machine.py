"""A machine whose threads write, with what is drawn of them; some of its records are lost."""

from __future__ import annotations

from hypothesis import strategies as st
from recorder.cutting import CLOCK
from recorder.onebyone import PIECE, SENDMMSG, SNAPLEN, Described, End, Part, Seen, Write

from wcap.events import Process, Target
from wcap.syscalls import SYSCALLS

# Times of records may be this much older than those that came before them.
SKEW = 100
# No process has such a number: /proc knows nothing of it.
FIRST_PID = 5_000_000
THREADS = [(FIRST_PID, FIRST_PID), (FIRST_PID, FIRST_PID + 1), (FIRST_PID + 2, FIRST_PID + 2)]
CPUS = 3
MEMORY = bytes(range(64))
# What is not a plain write: system calls, and what these have of their own.
KINDS = {
    "offset": {"syscall": SYSCALLS.index("pwrite64"), "offset": 2**40},
    "address": {"syscall": SYSCALLS.index("sendto"), "address": b"\x10\0far"},
    "move": {"syscall": SYSCALLS.index("sendfile"), "no_payload": True, "source": (9, 2)},
}
# Of these targets the last is never described.
TARGETS = 3


class Machine:
    """Threads that write on CPUs; some of their records are lost."""

    def __init__(self, *, at_exit=False):
        self.now = CLOCK.clock_ns
        self.transport = []
        self.recorded = []
        self.sequences = {}
        self._at_exit = at_exit
        self._times = dict.fromkeys(range(CPUS), 0)
        self._writing = {}
        self._described = set()

    def _moment(self, cpu, after, skew):
        """Let time pass; return the time on a CPU, whose clock may lag but never goes back."""
        self.now += after
        self._times[cpu] = max(self._times[cpu], self.now - skew)
        return self._times[cpu]

    def write(self, thread, cpu, after, skew, lost, **facts):
        """Let a thread begin a call, or end the one that it is in."""
        pid, tid = THREADS[thread]
        of = {"pid": pid, "tid": tid, "cpu": cpu, "time_ns": self._moment(cpu, after, skew)}
        began = self._writing.pop(tid, None)
        if began is not None:
            self._send(self._end(began, of, **facts), lost)
            return
        messages = facts["messages"] if facts["kind"] == "messages" else 0
        writes = [self._begin(of, **facts) for _ in range(max(messages, 1))]
        for number, write in enumerate(writes[:messages]):
            write.syscall, write.message = SENDMMSG, number
        if self._at_exit:
            self._answer(writes, **facts)
        else:
            self._writing[tid] = writes
        for number, write in enumerate(writes):
            self._describe({write.target, *(write.source or ())[1:]})
            if not self._send(write, lost and number != facts["spared"]):
                self.recorded.append(write)

    def _send(self, record, lost):
        """Send a record after its parts, which come through even where it does not."""
        pieces = record.pieces or [b""]
        self.transport += [Part(record, piece) for piece in pieces[:-1]]
        if not lost:
            self.transport.append(record)
        return lost

    def _describe(self, numbers):
        for number in numbers - {0, TARGETS} - self._described:
            self._described.add(number)
            told = Target("file", path=f"/t{number}", device=(8, 1), inode=number)
            self.transport.append(Described(number, told))

    def _begin(self, of, *, size, beyond, readable, lost_after, comm, kind, to, **_):
        self.sequences[of["cpu"]] = sequence = self.sequences.get(of["cpu"], 0) + 1
        more = KINDS.get(kind, {})
        size = 0 if "no_payload" in more else size
        memory = MEMORY[sequence % 16 :][: min(size, SNAPLEN)]
        unreadable = readable is not None and readable < len(memory)
        parts = (len(memory) - 1) // PIECE
        is_lost = lost_after is not None and lost_after < parts and not unreadable
        write = Write(
            **of,
            **more,
            sequence=sequence,
            count=size + beyond if size >= SNAPLEN or more.get("no_payload") else size,
            comm=comm,
            read=memory[:readable] if unreadable else memory,
            unreadable=unreadable,
            lost_after=lost_after if is_lost else None,
            fd=sequence % 5 - 1,
            target=to,
        )
        write.memory = memory
        return write

    def _answer(self, writes, *, returned, **_):
        """Give calls that are recorded at their end what they returned."""
        for write in writes:
            write.returned = returned
            if write.message is not None and (returned >= 0 or write.message):
                write.unsent = write.message >= returned
                write.returned = 7

    def _end(self, began, of, *, returned, again, **_):
        if began[0].message is not None:
            lengths = [10 + n for n in range(max(min(returned, len(began)), 0))]
            told = {"no": None, "part": lengths[:1]}.get(again, lengths)
            return End(**of, returned=min(returned, len(began)), lengths=told)
        if not began[0].unreadable or again == "no":
            return End(**of, returned=returned)
        self._times[of["cpu"]] += 1  # what is read takes its time, by which it is told apart
        of = {**of, "time_ns": self._times[of["cpu"]]}
        rest = began[0].memory[len(began[0].read) :]
        read = {"whole": rest, "lost": rest[:PIECE], "part": rest[:3], "failed": b""}[again]
        pieces = [read[place : place + PIECE] for place in range(0, len(read), PIECE)] or [b""]
        return End(
            **of,
            returned=returned,
            pieces=[*pieces, b""] if again == "lost" else pieces,
            failed=again in ("part", "failed"),
            part_lost=again == "lost",
            asked=min(began[0].count + 5, 2**32 - 1) if again == "whole" and len(rest) % 2 else 0,
        )

    def execute(self, thread, comm, known):
        """Let a process be seen for the first time, or call exec, which takes its time."""
        self.now += SKEW + 1
        pid, _ = THREADS[thread]
        start = len(self.transport)
        facts = {"leader": comm + "!", "ppid": 1, "start_ns": start} if known else {}
        self.transport.append(Seen(Process(pid, comm, uid=7, gid=8, **facts)))


writes = st.fixed_dictionaries(
    {
        "thread": st.integers(0, len(THREADS) - 1),
        "cpu": st.integers(0, CPUS - 1),
        "after": st.sampled_from([0, 1, 60, 1000, 400_000_000, 1_200_000_000]),
        "skew": st.integers(0, SKEW),
        "lost": st.sampled_from([False, False, False, True]),
        "spared": st.sampled_from([None, 0, 1]),
        "kind": st.sampled_from(["plain", "plain", "messages", *KINDS]),
        "messages": st.integers(1, 3),
        "to": st.integers(0, TARGETS),
        "size": st.sampled_from([0, 1, 5, 5, 5, SNAPLEN - 1, SNAPLEN, SNAPLEN + 1]),
        "beyond": st.sampled_from([0, 0, 9, 2**63]),
        "readable": st.sampled_from([None, None, 0, 3, 8]),
        "lost_after": st.sampled_from([None, None, 0, 1]),
        "comm": st.sampled_from([b"a", b"longer-than-8", b"longer-than-9"]),
        "returned": st.sampled_from([5, 1, 0, -32, -512, 2**40]),
        "again": st.sampled_from(["whole", "part", "failed", "lost", "no"]),
    }
)
executes = st.tuples(st.integers(0, len(THREADS) - 1), st.sampled_from(["x", "y"]), st.booleans())
feeds = st.sampled_from(["feed", "feed all but one"])
cuts = st.tuples(st.sampled_from([None, None, 0, 1, 3]), st.sampled_from([SKEW, 2000]))
steps = st.lists(st.one_of(writes, writes, writes, executes, feeds, cuts), max_size=70)
