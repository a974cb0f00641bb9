from __future__ import annotations

import pytest

from wcap.filters import CommPattern
from wcap.recorder import choice, probe
from wcap.recorder.choice import Conditions
from wcap.recorder.members import Layout
from wcap.recorder.probe import Losses, ProbeOptions
from wcap.recorder.records import sizes


def options(**facts):
    given_ = {"snaplen": 4096, "ring_pages": 16, "clock": "boottime", "excluded": (1,)}
    return ProbeOptions(**{**given_, **facts})


def flags(**facts):
    return probe._flags(options(**facts), 8, Layout())


def test_the_sizes_are_passed_on():
    found = flags(snaplen=100)

    assert {"-DCPUS=8", "-DSNAPLEN=100"} <= set(found)
    assert {f"-D{name}={size}" for name, size in sizes(at_exit=False).items()} <= set(found)


@pytest.mark.parametrize(
    ("clock", "helper"),
    [("boottime", "bpf_ktime_get_boot_ns"), ("monotonic", "bpf_ktime_get_ns")],
)
def test_the_clock_is_read_by_its_helper(clock, helper):
    assert f"-DCLOCK={helper}" in flags(clock=clock)


def test_a_ring_buffer_has_a_size_and_a_perf_buffer_a_switch():
    assert "-DRING_PAGES=16" in flags()
    assert "-DPERF" not in flags()
    assert "-DPERF" in flags(ring_pages=None)
    assert not any(flag.startswith("-DRING_PAGES") for flag in flags(ring_pages=None))


def test_every_excluded_process_is_named():
    assert "-DEXCLUDED=X(7) X(812)" in flags(excluded=(7, 812))


@pytest.mark.parametrize("switch", ["targets", "either", "follow", "at_exit"])
def test_a_switch_is_passed_on_only_when_it_is_on(switch):
    assert f"-D{switch.upper()}" not in flags()
    assert f"-D{switch.upper()}" in flags(**{switch: True})


def test_conditions_are_passed_on():
    chosen, left_out = Conditions(comms=(CommPattern(b"a"),)), Conditions(users=(7,))
    assert set(choice.flags(chosen, left_out)) < set(flags(chosen=chosen, left_out=left_out))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, {"-DKINDS=2047", "-DUNKNOWN_WANTED=1"}),
        ({"chosen": Conditions(kinds=("file", "tty"))}, {"-DKINDS=9", "-DUNKNOWN_WANTED=0"}),
        ({"left_out": Conditions(kinds=("file",))}, {"-DKINDS=2046", "-DUNKNOWN_WANTED=1"}),
        ({"chosen": Conditions(paths=("/x",))}, {"-DPATHS"}),
        ({"left_out": Conditions(paths=("/x",))}, {"-DPATHS"}),
    ],
)
def test_what_may_be_written_to_is_passed_on(facts, expected):
    assert expected <= set(flags(**facts))
    assert "-DPATHS" not in flags()


def test_losses_are_named_by_cause_and_none_is_named_without_one():
    raw = probe._Losses(enters_full=3, exits_other=2, processes=1, targets=9, follows=4)

    assert probe._named(raw) == Losses({"buffer-full": 3}, {"other": 2}, 1, 9, 4)
    assert probe._named(probe._Losses(0, 5, 6)) == Losses({"other": 5}, {"buffer-full": 6}, 0, 0, 0)


class FakeKernel:
    """The maps of a probe: what CPU 1 of two lost, in as many runs as it remembers."""

    def __init__(self):
        self.runs = []
        self.reads = 0
        self.while_reading = lambda: None

    def get_table(self, name, key, leaf):
        return {"losses": _Reader(self._losses), "runs": _Reader(self._run)}[name]

    def _losses(self, cpu):
        return probe._Losses(runs=len(self.runs) if cpu == 1 else 0)

    def _run(self, place):
        self.reads += 1
        self.while_reading()
        cpu, place = divmod(place, probe._RUNS)
        assert cpu == 1
        latest = [number for number in range(len(self.runs)) if number % probe._RUNS == place]
        return probe._Run(*self.runs[latest[-1]])


class _Reader:
    def __init__(self, read):
        self._read = read

    def __getitem__(self, key):
        return self._read(key.value)


@pytest.fixture
def losing(monkeypatch):
    """Make a probe whose CPU 1 loses events, and remembers four runs of them."""
    monkeypatch.setattr(probe, "_RUNS", 4)
    losing = object.__new__(probe.Probe)
    losing._bpf, losing._runs = FakeKernel(), {}
    return losing


def run(number):
    """Return the run of that number: two events of one process."""
    return (10 * number, 10 * number + 1, 100 + number)


def test_whose_events_were_lost_is_told_by_cpu(losing):
    losing._bpf.runs = [run(0), run(1)]

    assert losing.losers(1) == [run(0), run(1)]
    assert losing.losers(0) == []


def test_runs_that_were_read_are_not_read_again_but_for_the_latest_which_may_have_grown(losing):
    losing._bpf.runs = [run(0), run(1)]
    losing.losers(1)
    losing._bpf.runs[1] = (10, 15, 101)
    losing._bpf.runs.append(run(2))
    losing._bpf.reads = 0

    assert losing.losers(1) == [run(0), (10, 15, 101), run(2)]
    assert losing._bpf.reads == 2


def test_runs_that_the_kernel_side_has_forgotten_are_forgotten(losing):
    told = []
    for number in range(50):
        losing._bpf.runs.append(run(number))
        told = losing.losers(1)

    assert told == [run(47), run(48), run(49)]
    assert len(losing._runs[1]) == 3


def test_a_run_that_may_be_written_over_while_it_is_read_is_not_told(losing):
    losing._bpf.runs = [run(number) for number in range(4)]
    losing._bpf.while_reading = lambda: losing._bpf.runs.append(run(len(losing._bpf.runs)))

    # Four more came while four were read: nothing that was read can be relied upon.
    assert losing.losers(1) == []
    losing._bpf.while_reading = lambda: None
    assert losing.losers(1) == [run(number) for number in (5, 6, 7)]


def test_what_passed_by_is_counted_by_process_and_way(losing):
    class Passer:
        def __init__(self, tgid, how):
            self.tgid, self.how = tgid, how

    class Count:
        value = 3

    losing._bpf = {"bypasses": {Passer(7, 1): Count, Passer(8, 2): Count, Passer(9, 5): Count}}

    assert losing.bypasses() == {(7, "io_uring"): 3, (8, "compat"): 3, (9, "5"): 3}
