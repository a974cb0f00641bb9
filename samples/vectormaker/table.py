"""The README of the vectors: how to use them, which rule each is about, and what each shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

START = """\
# Test vectors

Pairs of bytes and meaning: `NAME.wcap` is a capture, and `NAME.json` says what a right reader makes of it. Each shows
one thing, and is named for it. `samples/make_vectors.py` makes them, this file too, from SPEC.md alone: it imports
nothing of wcap, so neither the bytes nor their meaning are what wcap happens to do. `make samples` makes them again, and
a test compares all bytes. Those named `frozen-…` are not made: programs of that format version wrote them, and they stay
as they are.

| folder | what is in it | a reader |
|---|---|---|
| `valid/` | captures that break no rule | reads them in full, and finds nothing wrong |
| `damaged/` | cuts, changed bytes, broken rules | delivers what is whole, and reports the rest; or refuses |
| `unsupported/` | captures that need another reader | refuses, at once or when it comes to the place |
| `rewritten/` | what rewriting tools make of `NAME.before-1.wcap`, … | reads them as those of `valid/` |

Offsets and classes of errors are those of SPEC.md section 11.

| key | meaning |
|---|---|
| `shows` | what the vector is there for |
| `rules` | requirements of SPEC.md sections 10 and 11 that it is about. Under a `W…`, a file in `valid/` keeps the rule and one in `damaged/` breaks it |
| `refused` | class and offset: the capture is refused as a whole, and no other key but `streamed_events` follows |
| `header`, `end` | the maps of HEADER and END, with what is known to this version; bin is text. `end` is null without END |
| `events` | in the form of SPEC.md Appendix F, for a reader that can seek: the lines of `wcap show --json` |
| `gaps` | the maps of GAPS, in order of `last_ns`; times are wall clock |
| `damage` | class and offset of all that is wrong. An offset is the start of the frame, or of the bytes in place of one; null for an absent footer |
| `stopped` | class and offset of what is refused when a reader comes there, after `events` |
| `status` | what `wcap show --json` ends with: 0, 1 (refused or stopped), 3 (something is damaged or lost) |
| `status_if_found_late` | the same for a reader that decodes a column when it is looked at, as wcap does (section 11). It may know nothing of the frames behind |
| `streamed_events` | the events for a reader that cannot seek, where they differ |
| `only_seeking_readers_notice` | true: a streaming reader finds nothing wrong, since it does not use the index |
| `made_by`, `before` | what was asked of a rewriting tool, as words for `wcap`, and the captures that it was given. What it makes has the same `header`, `events`, `gaps` and `end`, and the same flags, also unknown ones; the last entry of `rewritten` may say more |
| `unsound` | in `damaged/`: section of SPEC.md and offset of the frame where the file breaks a rule although a reader delivers all and reports nothing. `wcap verify` finds it |
| `may_be_refused` | true: a tool may refuse to make it instead |
| `processes`, `targets` | of each event the maps that its columns `process` and `target` point to |

Whoever writes a reader compares `events` first, in `valid/`; then that every file of `damaged/` and `unsupported/` gives
the events told and at least one fault of a class told; then the rest. Offsets help to find mistakes, and other findings
may stand beside those told: one damage can be described in several ways.

To add one, describe it in `samples/vectormaker/` and run `make samples`. When a format version has been released, captures
that it wrote are copied here as `frozen-VERSION-NAME`, with their JSON.

## Rules and their vectors

"""

# Rules about what no file can show, and the tests that stand for a vector.
BY_TEST = {
    "W11": "the file's mode and what stands at its place: `tests/test_writer.py`",
}


def readme(folder: Path, rules: Iterable[str]) -> str:
    """Return the README for the vectors of a folder; ``rules`` are all rules of SPEC.md."""
    said: dict[str, Mapping[str, Any]] = {
        str(path.relative_to(folder))[: -len(".json")]: json.loads(path.read_text("utf-8"))
        for path in sorted(folder.glob("*/*.json"))
    }
    lines = ["| rule | vectors |", "|---|---|"]
    for rule in rules:
        names = [f"`{name}`" for name, meaning in said.items() if rule in meaning["rules"]]
        few = ", ".join(names[:4])
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        lines.append(f"| {rule} | {few + more if names else BY_TEST[rule]} |")
    for sort in ("valid", "damaged", "unsupported", "rewritten"):
        own = {name: meaning for name, meaning in said.items() if name.startswith(f"{sort}/")}
        lines += ["", f"## {sort} ({len(own)})", "", "| vector | shows |", "|---|---|"]
        lines += [f"| `{name.partition('/')[2]}` | {said[name]['shows']} |" for name in own]
    return START + "\n".join(lines) + "\n"
