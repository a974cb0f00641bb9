"""Names of a recording's parts, and what is in their way."""

from __future__ import annotations

import time

import pytest

from wcap.cli import main
from wcap.cli.parts import Parts
from wcap.cli.recording import _kept
from wcap.errors import UsageError

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
# 2026-01-02T03:04:05Z.
MOMENT = 1_767_323_045 * SECOND


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_parts_by_size_are_numbered_before_the_extension(folder):
    parts = Parts("run.wcap", by_size=True)

    assert str(parts.check()) == "run-0001.wcap"
    parts.open(2, MOMENT).close()
    parts.open(10_000, MOMENT).close()
    assert names(folder) == ["run-0002.wcap", "run-10000.wcap"]
    assert parts.last == "run-10000.wcap"


def test_a_ring_has_as_many_digits_as_its_count_and_begins_anew(folder):
    parts = Parts("run.wcap", by_size=True, ring=12)

    for part in range(1, 27):
        parts.open(part, MOMENT).close()
    assert names(folder) == [f"run-{number:02}.wcap" for number in range(1, 13)]


def test_parts_by_time_are_named_after_it(folder):
    parts = Parts("run-%Y%m%d-%H%M%S.wcap", period_ns=HOUR)
    parts.open(2, MOMENT).close()

    assert names(folder) == ["run-20260102-030405.wcap"]


def test_without_a_time_in_the_name_parts_are_numbered():
    assert str(Parts("run.wcap", period_ns=HOUR).check()) == "run-0001.wcap"


def test_with_both_there_are_time_and_number(folder):
    parts = Parts("run-%H.wcap", period_ns=SECOND, by_size=True)
    parts.open(7, MOMENT).close()

    assert names(folder) == ["run-03-0007.wcap"]


def test_a_time_that_does_not_tell_parts_apart_is_refused():
    with pytest.raises(UsageError, match=r"'run-%Y\.wcap' names parts one after the other alike"):
        Parts("run-%Y.wcap", period_ns=SECOND)


def test_a_name_that_comes_twice_or_is_taken_replaces_nothing(folder):
    """SPEC W11."""
    (folder / "run-03.wcap").write_text("someone's")
    parts = Parts("run-%H.wcap", period_ns=HOUR)

    parts.open(2, MOMENT).close()
    parts.open(3, MOMENT).close()

    assert names(folder) == ["run-03-2.wcap", "run-03-3.wcap", "run-03.wcap"]
    assert (folder / "run-03.wcap").read_text() == "someone's"


def test_force_replaces_what_was_there_and_not_what_this_recording_made(folder):
    (folder / "run-03.wcap").write_text("someone's")
    parts = Parts("run-%H.wcap", period_ns=HOUR, force=True)

    parts.open(2, MOMENT).close()
    parts.open(3, MOMENT).close()

    assert names(folder) == ["run-03-2.wcap", "run-03.wcap"]
    assert (folder / "run-03.wcap").read_text() == ""


def test_numbered_files_that_are_there_are_refused_at_once(folder):
    for number in (7, 3, 5, 2, 9):
        (folder / f"run-{number:04}.wcap").touch()

    with pytest.raises(FileExistsError, match="--force replaces it") as caught:
        Parts("run.wcap", by_size=True).check()
    assert caught.value.filename == "run-0002.wcap"
    assert str(Parts("run.wcap", by_size=True, force=True).check()) == "run-0001.wcap"


def test_a_part_that_cannot_be_made_is_named():
    parts = Parts("nowhere/run.wcap", by_size=True)

    with pytest.raises(FileNotFoundError) as caught:
        parts.open(2, MOMENT)
    assert caught.value.filename == "nowhere/run-0002.wcap"


def test_a_folder_that_is_none_is_found_before_anything_is_done(folder):
    (folder / "file").touch()

    for name in ("nowhere/run.wcap", "file/run.wcap"):
        with pytest.raises(OSError, match=r"No such file|Not a directory") as caught:
            Parts(name, by_size=True).check()
        assert caught.value.filename == name.replace("run", "run-0001")
    assert names(folder) == ["file"]


def test_what_is_discarded_is_gone_and_the_part_before_is_the_last(folder):
    parts = Parts("run.wcap", by_size=True)
    parts.open(1, MOMENT).close()
    parts.open(2, MOMENT).close()

    parts.discard()

    assert (parts.last, names(folder)) == ("run-0001.wcap", ["run-0001.wcap"])


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["-C", "63K"], "-C: 64K or more expected, 63K found"),
        (["-C", "much"], "'much' found"),
        (["-G", "0.5"], "-G: a second or more expected, 0.5 found"),
        (["-W", "3"], "-W counts files: give -C SIZE or -G SECONDS"),
        (["-W", "3", "-C", "1M", "-G", "5"], "and not both"),
        (["-C", "1M", "-o", "-"], "several files: a file's name expected, '-' found"),
        (["-G", "5", "-o", "/dev/null"], "several files: a file's name expected"),
        (["--ring", "much"], "--ring: a size such as 64M (K, M, G), a time such as 30s"),
        (["--ring", "64"], "'64' found"),
        (["--ring", "64m,30k"], "'64m,30k' found"),
        (["--ring", "1K"], "64K and a second or more expected, 1K found"),
        (["--ring", "0.5s"], "64K and a second or more expected, 0.5s found"),
        (["--ring", "1M", "-C", "1M"], "leave out -C and -G"),
        (["--ring", "1M", "-o", "-"], "a file's name expected, '-' found"),
        (["-G", "5", "-o", "run-%H.wcap"], "names parts one after the other alike"),
    ],
)
def test_what_cannot_be_rotated_is_one_line(argv, told, folder, capsys):
    assert main(["record", "-a", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
    assert names(folder) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("64M", (64 << 20, None)),
        ("1GiB", (1 << 30, None)),
        ("30s", (1 << 30, 30 * SECOND)),
        ("2m,64K", (64 << 10, 120 * SECOND)),
    ],
)
def test_a_ring_is_so_large_and_so_old(given, kept):
    assert _kept(given) == kept


def test_the_first_part_is_named_after_the_moment_at_which_its_time_begins(folder):
    (folder / "run-030406.wcap").touch()
    parts = Parts("run-%H%M%S.wcap", period_ns=SECOND)
    parts.first()

    parts.begin(MOMENT)
    assert parts.last == "run-030405.wcap"
    parts.begin(MOMENT + SECOND)
    assert parts.last == "run-030406-2.wcap"
