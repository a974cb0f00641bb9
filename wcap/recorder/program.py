"""The BPF program's source as one text.

bcc rewrites what it is given before it compiles it, maps and their methods above all, but not the
files that this includes. So wcap's own files are put together first; messages still tell the file
and the line.
"""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "bpf"
# What stands in for the kernel's headers.
HEADERS = _FOLDER / "headers"
_INCLUDE = re.compile(r'#include "([a-z_]+\.h)"')


def source() -> str:
    """Return write.c with what it includes, each file once."""
    return "\n".join(_lines("write.c", set())) + "\n"


def _lines(name: str, included: set[str]) -> list[str]:
    if name in included:
        return []
    included.add(name)
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate((_FOLDER / name).read_text().splitlines(), 1):
        if found := _INCLUDE.fullmatch(line):
            lines += [*_lines(found[1], included), f'#line {number + 1} "{name}"']
        else:
            lines.append("" if line == "#pragma once" else line)
    return lines
