"""Disks that get full or become read-only: one line says which file, and what was written stays."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
from kernel.support import (
    PATIENCE_SECONDS,
    Puppet,
    Recorder,
    assert_seamless,
    dumped,
    python,
    record,
)
from support import batch_of, write, write_capture

import wcap
from wcap.cli import main

pytestmark = pytest.mark.kernel

# Bytes that cannot be compressed, some 400 KiB a second of them.
STEADY = """
while True:
    os.write(null, os.urandom(4096))
    time.sleep(0.01)
"""
FULL = "No space left on device"
READ_ONLY = "Read-only file system"


@contextmanager
def disk(place, what, options, kind):
    place.mkdir()
    subprocess.run(["mount", "-t", kind, "-o", options, what, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def small_disk(place, size, *more):
    return disk(place, "tmpfs", ",".join([f"size={size}", *more]), "tmpfs")


def remount(place, how):
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def wait_for_bytes(place, size):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(path.stat().st_size for path in place.glob("run*.wcap")) < size:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rescued(path):
    """Return the events of the capture that had no room for more, which has whole chunks alone.

    There may be room for an end, which then says that more was seen.
    """
    with wcap.open(path, errors="salvage") as capture:
        events = list(capture)
        reached = dict(capture.header.after)
        assert all("no footer" in str(damage) for damage in capture.damage)
        assert capture.end is None or capture.end.reason == "error"
    for event in sorted(events, key=lambda event: event.sequence):
        assert event.sequence == reached.get(event.cpu, 0) + 1
        reached[event.cpu] = event.sequence
    assert main(["info", str(path)]) == 3
    return events


def assert_named(recorded, last, why):
    """See that a recording ended for its last part, or for one after it that could not be begun."""
    assert recorded.status == 1
    [line] = recorded.said[1:]
    number = last.stem[-4:]
    following = last.with_stem(f"run-{int(number) + 1:04}") if number.isdecimal() else last
    assert line in {f"wcap: {path}: {why}" for path in (last, following)}


@pytest.mark.smoke
def test_a_full_disk_is_one_line_and_leaves_every_whole_chunk(tmp_path, capsys):
    workload = """
for n in range(23):
    os.write(null, os.urandom(4096))
time.sleep(1.5)
while True:
    os.write(null, os.urandom(4096))
    time.sleep(0.001)
"""

    with small_disk(tmp_path / "disk", "256K") as place:
        recorded = record("--", *python(workload), output=place / "run.wcap")
        events = rescued(recorded.path)

    assert recorded.status == 1
    assert recorded.said[1:] == [f"wcap: {recorded.path}: {FULL}"]
    assert 23 <= len(events) < 64
    assert {event.count for event in events} == {4096}
    assert "not accounted for" in capsys.readouterr().out


@pytest.mark.parametrize("options", [("-C", "64K"), ("-G", "1")])
def test_a_disk_that_gets_full_amid_parts_is_told_of_the_part_that_had_no_room(options, tmp_path):
    with small_disk(tmp_path / "disk", "512K") as place:
        output = place / "run.wcap"
        recorded = record(*options, "-e", "write", "--", *python(STEADY), output=output)

        *others, last = sorted(place.iterdir())
        events = assert_seamless(others) + rescued(last)

    assert_named(recorded, last, FULL)
    assert len(events) > 50


def test_a_disk_without_room_for_another_file_ends_a_recording_in_parts(tmp_path):
    with small_disk(tmp_path / "disk", "1M", "nr_inodes=4") as place:  # the root is one
        output = place / "run.wcap"
        recorded = record("-C", "64K", "--", *python(STEADY), output=output)

        parts = sorted(place.iterdir())
        assert_seamless(parts[:-1])
        rescued(parts[-1])
        with wcap.open(parts[-1]) as capture:  # there is room to close it
            assert capture.indexed

    assert [path.name for path in parts] == ["run-0001.wcap", "run-0002.wcap", "run-0003.wcap"]
    assert recorded.status == 1
    assert recorded.said[1:] == [f"wcap: {place / 'run-0004.wcap'}: {FULL}"]


@pytest.mark.parametrize("spoilt", [FULL, READ_ONLY])
def test_a_dump_that_cannot_be_written_is_told_and_leaves_no_file(spoilt, tmp_path):
    with (
        small_disk(tmp_path / "disk", "1M") as place,
        Puppet(STEADY) as puppet,
        Recorder("-p", str(puppet.pid), "--ring", "256K", output=place / "run.wcap") as recorder,
    ):
        recorder.wait_until_recording()
        filler = place / "filler"
        if spoilt == FULL:
            filler.write_bytes(bytes(900 << 10))
        else:
            remount(place, "ro")
        puppet.go()
        time.sleep(1.2)
        recorder.signal(signal.SIGUSR1)
        recorder.wait_until_said(f"{place / 'run-0001.wcap'}: {spoilt}: not written")
        left = [path for path in place.iterdir() if path != filler]
        filler.unlink() if spoilt == FULL else remount(place, "rw")
        recorder.signal(signal.SIGUSR1)
        recorder.wait_until_said("events written")
        header, end, events = dumped(place / "run-0001.wcap")
        recorder.signal(signal.SIGINT)
        recorded = recorder.finish()
        dumped(place / "run-0002.wcap")

    assert left == []
    assert sum(header.after.values()) + len(events) == sum(end.sequences.values())
    assert len(events) > 20
    assert recorded.status == 0, recorded.said


def test_a_disk_that_is_full_at_the_end_of_a_ring_keeps_what_there_was_room_for(tmp_path):
    with (
        small_disk(tmp_path / "disk", "256K") as place,
        Puppet(STEADY) as puppet,
        Recorder("-p", str(puppet.pid), "--ring", "1M", output=place / "run.wcap") as recorder,
    ):
        recorder.wait_until_recording()
        puppet.go()
        time.sleep(1.5)
        recorder.signal(signal.SIGINT)
        recorded = recorder.finish()
        [path] = place.iterdir()
        events = rescued(path)

    assert recorded.status == 1
    assert recorded.said[1:] == [f"wcap: {path}: {FULL}"]
    assert len(events) > 20


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ((), "run.wcap"),
        (("--force",), "run.wcap"),
        (("-C", "64K"), "run-0001.wcap"),
        (("-G", "1"), "run-0001.wcap"),
        (("--ring", "64K"), "run-0001.wcap"),
    ],
)
def test_a_read_only_disk_is_named_before_anything_is_recorded(options, name, tmp_path, capsys):
    with small_disk(tmp_path / "disk", "256K") as place:
        if options == ("--force",):
            (place / name).touch()
        remount(place, "ro")
        status = main(["record", *options, "-o", str(place / "run.wcap"), "--", "echo", "hi"])

    assert status == 1
    assert capsys.readouterr() == ("", f"wcap: {place / name}: {READ_ONLY}\n")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("recover",), "new.wcap"),
        (("cut", "--fd", "1"), "new.wcap"),
        (("split", "--size", "1M"), "new-0001.wcap"),
        (("split", "--process"), "new-100.wcap"),
    ],
)
def test_commands_that_write_captures_name_what_a_read_only_disk_refuses(
    command, name, tmp_path, capsys
):
    made = write_capture(tmp_path / "run.wcap", batch_of(write()))
    with small_disk(tmp_path / "disk", "256K") as place:
        remount(place, "ro")
        status = main([*command, str(made), "-o", str(place / "new.wcap")])

    assert status == 1
    assert capsys.readouterr() == ("", f"wcap: {place / name}: {READ_ONLY}\n")


@pytest.mark.needs("mkfs.ext4")
@pytest.mark.parametrize("options", [(), ("-C", "64K")])
def test_a_disk_that_becomes_read_only_meanwhile_leaves_all_that_was_written(options, tmp_path):
    """What ext4 does after an error of the disk, and `remount,abort` makes it do."""
    image = tmp_path / "image"
    image.write_bytes(bytes(8 << 20))
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    # Without delayed allocation what was written can be read although it never gets to the disk.
    with disk(tmp_path / "disk", image, "loop,nodelalloc", "ext4") as place:
        output = place / "run.wcap"
        with Recorder(*options, "-e", "write", "--", *python(STEADY), output=output) as recorder:
            wait_for_bytes(place, 150 << 10)
            time.sleep(0.2)  # until the batch is written; the next one comes later
            remount(place, "abort")
            recorded = recorder.finish()

        *others, last = sorted(place.glob("run*.wcap"))
        events = assert_seamless(others) + rescued(last)

    assert_named(recorded, last, READ_ONLY)
    assert len(others) > 0 if options else others == []
    assert len(events) > 30
