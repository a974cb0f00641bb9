from __future__ import annotations

import re

from wcap.recorder import program

FILES = {path.name: path.read_text().splitlines() for path in program.HEADERS.parent.glob("*.[ch]")}
LINE = re.compile(r'#line (\d+) "(.*)"')


def located():
    """Yield each line of the source with the file and the number that a compiler gives it."""
    file, number = "", 0
    for line in program.source().splitlines():
        if found := LINE.fullmatch(line):
            file, number = found[2], int(found[1])
        else:
            yield file, number, line
            number += 1


def test_the_source_is_every_file_once_and_each_line_says_where_it_is_from():
    seen = set()
    for file, number, line in located():
        original = FILES[file][number - 1]
        assert (file, number) not in seen
        seen.add((file, number))
        assert line == ("" if original == "#pragma once" else original)

    everything = {
        (file, number)
        for file, lines in FILES.items()
        for number, line in enumerate(lines, 1)
        if not line.startswith('#include "')
    }
    assert seen == everything


def test_what_a_file_includes_stands_before_what_follows():
    order = [file for file, number, _ in located() if number == len(FILES[file])]

    assert order.index("record.h") < order.index("state.h") < order.index("calls.h")


def test_nothing_is_left_to_be_included_and_nothing_is_there_once_only():
    source = program.source()

    assert "#include" not in source
    assert "#pragma once" not in source
    assert source.endswith("\n")
