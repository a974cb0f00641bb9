"""Recorded output made safe for a terminal: it keeps its colours, and can do nothing else."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING
from unicodedata import category

from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.cli.output import Output

# The sequences that set colours and typefaces (ECMA-48: SGR), and what may be one's beginning.
_STYLE = re.compile(r"(\x1b\[[0-9;:]{0,48}m)")
_BEGUN = re.compile(r"\x1b(\[[0-9;:]{0,48})?\Z")
_RESET = b"\x1b[0m"
_PASSED = frozenset("\n\r\t")
# Joiners belong to words and emoji; other format characters can reorder or hide what is shown.
_JOINERS = frozenset("\u200c\u200d")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class TerminalGuard:
    """An output that passes text, line ends, tabs and colours on, and shows the rest as escapes.

    A character or a colour sequence may be spread over several writes. `close` shows what was
    begun and not finished, and resets colours if any were set.

    Args:
        output: the terminal.
        encoding: what the terminal expects.
    """

    def __init__(self, output: Output, encoding: str = "utf-8") -> None:
        self._output = output
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._begun = ""
        self._styled = False

    def write(self, data: bytes) -> None:
        """Write bytes, as far as they are whole characters and sequences."""
        text = self._begun + self._decoder.decode(data)
        found = _BEGUN.search(text)
        self._begun = found[0] if found else ""
        self._put(text[: len(text) - len(self._begun)])

    def close(self) -> None:
        """Write what is left. The output stays open."""
        self._put(self._begun + self._decoder.decode(b"", final=True))
        self._begun = ""
        if self._styled:
            self._output.write(_RESET)

    def _put(self, text: str) -> None:
        parts = _STYLE.split(text)
        self._styled = self._styled or len(parts) > 1
        parts[::2] = map(_shown, parts[::2])
        self._output.write("".join(parts).encode(self._encoding, "backslashreplace"))


def _shown(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character
        if character in _PASSED or character in _JOINERS or category(character) not in _UNSAFE
        else escape_text(character)
        for character in text
    )
