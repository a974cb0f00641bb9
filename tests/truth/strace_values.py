"""Read the arguments of a call as ``strace -xx -v`` prints them.

With ``-xx`` every byte of a string is an escape, so a quote ends a string and a bracket is a
bracket: one expression splits a line into tokens, and a string of 16 MiB is one of them. What
stands for itself becomes a Python value: strings are bytes, lists lists, structures dicts, decimal
numbers ints. Memory that strace could not read is a `Pointer`; a list that memory ends in has `...`
as its last item. Flags and constants stay words, and so does the ``...`` of what strace leaves out
of something that it explains. A string that it cuts is an error: nothing may be missing here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""
    "(?P<escapes>[^"]*)"(?P<cut>\.\.\.)?
    | (?P<unread>\.\.\.\ /\*\ 0x[0-9a-f]+\ \*/)
    | (?P<word>=>|[^][{}(),="\s]+)
    | (?P<mark>[][{}(),=])
    """,
    re.VERBOSE,
)
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_POINTER = re.compile(r"NULL|0x[0-9a-f]+")
_NUMBER = re.compile(r"-?\d+")


class StraceError(ValueError):
    """A line that is not of a kind that is known here."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address whose memory strace did not show, mostly because it is not there."""

    address: int


def read_arguments(text: str, start: int = 0) -> tuple[list[Any], int]:
    """Return the values from ``start``, just inside a parenthesis, to where that closes, and the
    position after it.
    """
    reader = _Reader(text, start)
    return [value for _, value in reader.items(")")], reader.position


class _Reader:
    def __init__(self, text: str, position: int) -> None:
        self._text = text
        self.position = position

    def items(self, closing: str) -> list[tuple[str | None, Any]]:
        """Return what is listed up to ``closing``: names, where there are any, and values."""
        items = []
        while not self._skip(closing):
            name, value = None, self._value()
            if self._skip("="):
                name, value = value, self._value()
            while self._peek() not in (",", closing):  # what the kernel changed: [5] => [8]
                self._value()
            self._skip(",")
            items.append((name, value))
        return items

    def _value(self) -> Any:
        token = self._next()
        if token["escapes"] is not None:
            if token["cut"]:
                raise StraceError(f"a string is cut at {self.position}: -s is too small")
            return bytes.fromhex(token["escapes"].replace(r"\x", ""))
        if token["unread"]:
            return ...
        if token["word"]:
            return self._word(token["word"])
        return self._group(token["mark"])

    def _word(self, word: str) -> Any:
        if word == "@":  # an abstract socket's name follows
            return b"@" + self._value()
        if _POINTER.fullmatch(word):
            return Pointer(0 if word == "NULL" else int(word, 16))
        if _NUMBER.fullmatch(word):
            return int(word)
        if self._skip("("):  # htons(80), inet_addr("…")
            arguments = [value for _, value in self.items(")")]
            return arguments[0] if len(arguments) == 1 else tuple(arguments)
        return word

    def _group(self, opening: str) -> Any:
        if opening not in _CLOSING:
            raise StraceError(f"{opening!r} is not expected at {self.position}")
        items = self.items(_CLOSING[opening])
        if opening == "{":
            return {name or f"#{place}": value for place, (name, value) in enumerate(items)}
        return [value for _, value in items]

    def _match(self) -> re.Match[str]:
        position = self.position
        while self._text[position : position + 1] == " ":
            position += 1
        match = _TOKEN.match(self._text, position)
        if match is None:
            raise StraceError(f"the call does not end: {self._text[-60:]!r}")
        return match

    def _peek(self) -> str | None:
        mark: str | None = self._match()["mark"]
        return mark

    def _next(self) -> re.Match[str]:
        match = self._match()
        self.position = match.end()
        return match

    def _skip(self, mark: str) -> bool:
        match = self._match()
        found = bool(match["mark"] == mark)
        if found:
            self.position = match.end()
        return found
