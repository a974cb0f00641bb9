"""Following a file that grows: every event as it comes, and an end when nobody writes any more."""

from __future__ import annotations

import fcntl

import pytest
from support import HEADER, batch_of, end_of, write, write_capture

import wcap
from wcap.cli import main
from wcap.follow import follow_capture
from wcap.writer import CaptureWriter, open_output


class Script:
    """Steps of a recorder, one each time the reader waits."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self):
        self.steps.pop(0)()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.wcap"


def numbered(first, *data):
    return batch_of(*(write(one) for one in data), first_sequence=first)


def texts(batch):
    return [event.data for event in batch]


def test_chunks_come_when_they_are_written_and_the_end_ends_it(path):
    stream = open_output(path)
    writer = CaptureWriter(stream, HEADER)
    batches = [numbered(1, b"a", b"b"), numbered(3, b"c"), numbered(4, b"d")]
    writer.write(batches[0])
    seen = []

    def close():
        writer.close(end_of(batches))
        stream.close()

    script = Script(
        lambda: seen.append("waited"),
        lambda: writer.write(batches[1]),
        lambda: writer.write(batches[2]),
        close,
    )
    with follow_capture(path, wait=script) as capture:
        for batch in capture.batches():
            seen.append(texts(batch))  # noqa: PERF401  # beside what the script notes
        assert capture.end is not None
        assert not capture.growing
    assert seen == [[b"a", b"b"], "waited", [b"c"], [b"d"]]


def test_a_frame_that_is_half_there_is_waited_for_and_may_be_taken_back(path):
    """SPEC W3: a writer cuts off what it could not write in full."""
    stream = open_output(path)
    writer = CaptureWriter(stream, HEADER)
    whole = writer.size
    batch = numbered(1, b"a")

    def half():
        writer.write(batch)
        stream.truncate(writer.size - 5)

    def taken_back():
        stream.truncate(whole)
        stream.seek(whole)
        writer._offset, writer._number = whole, 1
        writer._entries = writer._entries[:1]

    def other():
        writer.write(numbered(1, b"other"))
        writer.close(end_of([batch]))
        stream.close()

    with follow_capture(path, wait=Script(half, taken_back, other)) as capture:
        found = [texts(batch) for batch in capture.batches()]

    assert found == [[b"other"]]


@pytest.mark.parametrize("cut", [0, 5])
def test_a_recorder_that_is_gone_ends_it_and_that_is_damage(cut, path):
    """SPEC R9, R10."""
    stream = open_output(path)
    writer = CaptureWriter(stream, HEADER)

    def die():
        writer.write(numbered(1, b"a"))
        size = writer.size
        writer.write(numbered(2, b"b"))
        stream.truncate(size + cut)
        stream.close()

    with follow_capture(path, errors="salvage", wait=Script(die)) as capture:
        assert [texts(batch) for batch in capture.batches()] == [[b"a"]]
        assert capture.end is None
        assert any(isinstance(error, wcap.TruncatedError) for error in capture.damage)


def test_damage_amid_a_growing_file_is_told_and_the_rest_is_followed(path):
    """SPEC R11."""
    stream = open_output(path)
    writer = CaptureWriter(stream, HEADER)
    start = writer.size
    batches = [numbered(1, b"a"), numbered(2, b"b")]
    writer.write(batches[0])
    stream.seek(start)
    stream.write(b"\0" * 20)
    stream.seek(writer.size)

    def close():
        writer.write(batches[1])
        writer.close(end_of(batches))
        stream.close()

    with follow_capture(path, errors="salvage", wait=Script(close)) as capture:
        assert [texts(batch) for batch in capture.batches()] == [[b"b"]]
        assert capture.damage


def test_the_command_says_when_the_recorder_is_gone(path, capsys):
    with open_output(path) as stream:
        CaptureWriter(stream, HEADER).write(numbered(1, b"a"))

    assert main(["show", "-f", str(path)]) == 3
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert "the recorder is gone, and wrote no end" in err


def test_the_command_says_that_a_recording_goes_on_elsewhere(path, capsys):
    with open_output(path) as stream:
        writer = CaptureWriter(stream, HEADER)
        writer.close(end_of([], reason="rotation"))

    assert main(["show", "-f", str(path)]) == 0
    assert "goes on in part 1" in capsys.readouterr().err


def test_a_capture_that_is_closed_is_shown_and_that_is_all(path, capsys):
    with open_output(path) as stream:
        writer = CaptureWriter(stream, HEADER)
        writer.write(batch := numbered(1, b"a"))
        writer.close(end_of([batch]))

    assert main(["show", "-f", str(path)]) == 0
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")


def test_who_stops_early_says_nothing_of_an_end_that_was_not_read(path, capsys):
    write_capture(path, batch_of(write(b"1")), batch_of(write(b"2"), first_sequence=2))

    assert main(["show", "-f", "-n", "1", str(path)]) == 0

    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, "")


def test_a_file_that_is_closed_does_not_grow_though_its_recorder_still_holds_it(path, capsys):
    write_capture(path, batch_of(write(b"1")))

    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["show", str(path)]) == 0

    assert capsys.readouterr().err == ""
