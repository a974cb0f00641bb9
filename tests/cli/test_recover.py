"""Where recover writes to, and what is in its way; `tests/format` has what it makes of damage."""

from __future__ import annotations

import os

import pytest
from support import batch_of, no_file_larger_than, write, write_capture

from wcap.cli import main


@pytest.fixture
def broken(tmp_path):
    batch = batch_of(write(os.urandom(20_000)))
    return write_capture(tmp_path / "broken.wcap", batch, closed=False)


@pytest.mark.parametrize("room", [20, 8000])
def test_an_output_that_there_is_no_room_for_is_named_and_leaves_nothing(
    room, broken, tmp_path, capsys
):
    output = tmp_path / "whole.wcap"

    with no_file_larger_than(room):
        status = main(["recover", str(broken), "-o", str(output)])

    assert (status, capsys.readouterr().err) == (1, f"wcap: {output}: File too large\n")
    assert list(tmp_path.iterdir()) == [broken]


def test_an_output_in_no_folder_is_named(broken, tmp_path, capsys):
    output = tmp_path / "nowhere" / "whole.wcap"

    assert main(["recover", str(broken), "-o", str(output)]) == 1

    assert capsys.readouterr().err == f"wcap: {output}: No such file or directory\n"


def test_without_room_for_temporary_files_their_folder_is_named(
    broken, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with no_file_larger_than(8000):
        status = main(["recover", str(broken), "-o", "-"])

    assert (status, capsys.readouterr()) == (1, ("", f"wcap: {tmp_path}: File too large\n"))
