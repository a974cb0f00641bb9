"""Text from a capture made safe to show: nothing in it can steer a terminal or mislead a reader.

Names, command lines and host names come from whoever was recorded. What is not printable
(control characters, escape sequences, C1 codes, bidirectional and invisible marks, undecodable
bytes) is written out as a backslash and its number, and a backslash is doubled, so that no two
texts look the same.
"""

from __future__ import annotations

# Bytes that were not UTF-8 (PEP 383).
_UNDECODED = range(0xDC80, 0xDD00)
# Most texts have fewer characters; a capture made to do harm may have a million.
_MOST_REMEMBERED = 4096
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def escape_text(text: str) -> str:
    r"""Return text that is safe on a terminal and stays on one line, such as ``\x1b[31m``."""
    if text.isprintable() and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


class _Escapes(dict[int, str]):
    """What each character stands as; remembered are bytes, and the first others that are met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        plain = character.isprintable() and character != "\\"
        shown = character if plain else _escaped(character)
        if code < 0x100 or code in _UNDECODED or len(self) < _MOST_REMEMBERED:
            self[code] = shown
        return shown


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    if code in _UNDECODED:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_ESCAPES = _Escapes()
