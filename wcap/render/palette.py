"""The colours that set events apart from what surrounds their payload."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Palette:
    """Terminal sequences that start a colour; ``end`` ends any of them."""

    time: str = ""
    name: str = ""
    error: str = ""
    note: str = ""
    end: str = ""


PLAIN = Palette()
COLOURED = Palette(
    time="\x1b[2m", name="\x1b[36m", error="\x1b[31m", note="\x1b[33m", end="\x1b[0m"
)
