"""The msgpack maps that bodies of frames are ⇄ bytes; their values are checked as they are taken.

The only module that speaks msgpack. It counts the objects of a map before any takes memory, and
hands out its values by name and type. Garbage raises a `FormatError` and nothing else; what is
quoted of it in a message is escaped.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgpack

from wcap.errors import CorruptionError, LimitError

# SPEC.md section 9.
MAX_ITEMS = 1 << 20

MAX_UINT32 = (1 << 32) - 1
MAX_UINT64 = (1 << 64) - 1
MAX_INT64 = (1 << 63) - 1
MIN_INT64 = -(1 << 63)

_Value = TypeVar("_Value")


def encode_map(value: Mapping[str, Any]) -> bytes:
    """Encode a frame's body. Text that is not Unicode (a stray byte of an argument) is escaped."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="backslashreplace")
    return packed


def decode_map(body: bytes) -> Fields:
    """Decode a frame's body, or another map of this format.

    Raises:
        LimitError: it holds more objects than SPEC.md section 9 allows.
        CorruptionError: it is not one msgpack map.
    """
    check_items(body)
    try:
        value = msgpack.unpackb(
            body, raw=False, strict_map_key=False, max_ext_len=0, ext_hook=_refuse_ext
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CorruptionError(f"a frame's body is not msgpack: {error}") from error
    return Fields(value)


def _refuse_ext(number: int, data: bytes) -> None:
    """Refuse the ext objects that ``max_ext_len`` lets through: those without a byte."""
    raise ValueError(f"an ext object of type {number}")


def _msgpack_forms() -> list[tuple[int, int, int, int]]:
    """Say for every first byte of a msgpack object how it goes on.

    Returns:
        Bytes of the object (without what its length field counts), bytes of the length field,
        and what each unit of that field stands for: bytes, and objects inside. For the short
        forms the length is in the first byte, so the bytes and objects are final.
    """
    forms = [(1, 0, 0, 0)] * 0x80
    forms += [(1, 0, 0, 2 * pairs) for pairs in range(16)]
    forms += [(1, 0, 0, items) for items in range(16)]
    forms += [(1 + length, 0, 0, 0) for length in range(32)]
    forms += [(1, 0, 0, 0)] * 4  # nil, never used, false, true
    forms += [(1 + width, width, 1, 0) for width in (1, 2, 4)]  # bin
    forms += [(2 + width, width, 1, 0) for width in (1, 2, 4)]  # ext
    forms += [(1 + width, 0, 0, 0) for width in (4, 8, 1, 2, 4, 8, 1, 2, 4, 8)]  # float, uint, int
    forms += [(2 + width, 0, 0, 0) for width in (1, 2, 4, 8, 16)]  # fixext
    forms += [(1 + width, width, 1, 0) for width in (1, 2, 4)]  # str
    forms += [(1 + width, width, 0, 1) for width in (2, 4)]  # array
    forms += [(1 + width, width, 0, 2) for width in (2, 4)]  # map
    return forms + [(1, 0, 0, 0)] * 0x20


_FORMS = _msgpack_forms()


def check_items(body: bytes) -> None:
    """Count the msgpack objects of a body before any of them takes memory.

    A few bytes can promise millions of objects, and an empty list of one byte takes 56 in
    memory. Malformed bytes are left to msgpack, which says what is wrong with them.

    Raises:
        LimitError: there are more than SPEC.md section 9 allows.
    """
    place, open_objects, items = 0, 1, 1
    while open_objects and place < len(body):
        size, width, each_bytes, inside = _FORMS[body[place]]
        if width:
            length = int.from_bytes(body[place + 1 : place + 1 + width], "big")
            size += length * each_bytes
            inside *= length
        place += size
        open_objects += inside - 1
        items += inside
        if items > MAX_ITEMS:
            raise LimitError(f"a map of more than {MAX_ITEMS} objects")


class Fields:
    """A decoded map whose values are checked as they are taken."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise CorruptionError(f"a map expected, {type(value).__name__} found")
        self._map: dict[Any, Any] = value

    def take(self, name: str, kind: type[_Value]) -> _Value:
        """Return the value of a key that must be there.

        Raises:
            CorruptionError: it is absent, or of another type.
        """
        value = self.find(name, kind)
        if value is None:
            raise CorruptionError(f"{name} is missing")
        return value

    def find(self, name: str, kind: type[_Value]) -> _Value | None:
        """Return the value of a key, or None when it is absent.

        Raises:
            CorruptionError: it is of another type.
        """
        value = self._map.get(name)
        if value is None:
            return None
        if not _is(value, kind):
            raise CorruptionError(f"{name} is {type(value).__name__}, {kind.__name__} expected")
        return value  # type: ignore[no-any-return]  # _is has looked

    def nil_keys(self) -> Iterator[str]:
        """Yield where nil stands, which counts as absent: ``host``, ``summary.pids``, ``gaps.cpu``.

        Each place is told once, however many elements of a list have it.
        """
        return iter(dict.fromkeys(_nils(self._map)))

    def has_only(self, names: Container[object]) -> bool:
        """Whether no key but these is there."""
        return all(key in names for key in self._map)

    def number(self, name: str, lowest: int = 0, highest: int = MAX_INT64) -> int:
        """Return an integer that must be there, within bounds.

        Raises:
            CorruptionError: it is absent, of another type, or out of bounds.
        """
        return within(name, self.take(name, int), lowest, highest)

    def find_number(self, name: str, lowest: int = 0, highest: int = MAX_INT64) -> int | None:
        """Return an integer within bounds, or None when it is absent."""
        value = self.find(name, int)
        return None if value is None else within(name, value, lowest, highest)

    def told(self, name: str) -> bool:
        """Return whether a key that is true or absent is there.

        Raises:
            CorruptionError: it is anything but true.
        """
        if self.find(name, bool) is False:
            raise CorruptionError(f"{name} is false, true or nothing expected")
        return self.find(name, bool) is True

    def each(self, name: str, kind: type[_Value]) -> tuple[_Value, ...]:
        """Return a list of values of one type that must be there."""
        return each_of(name, self.take(name, list), kind)

    def find_each(self, name: str, kind: type[_Value]) -> tuple[_Value, ...] | None:
        """Return a list of values of one type, or None when it is absent."""
        found = self.find(name, list)
        return None if found is None else each_of(name, found, kind)

    def words(self, name: str) -> dict[str, str]:
        """Return a map from strings to strings, empty when the key is absent."""
        found = _present(name, self.find(name, dict) or {})
        return dict(zip(found, each_of(name, found.values(), str), strict=True))

    def find_counts(self, name: str) -> dict[str, int] | None:
        """Return a map from strings to numbers of things, or None when the key is absent."""
        given = self.find(name, dict)
        if given is None:
            return None
        found = _present(name, given)
        numbers = each_of(name, found.values(), int)
        return {
            key: within(f"{name} of {key!r:.40}", number, 0, MAX_INT64)
            for key, number in zip(found, numbers, strict=True)
        }

    def plain(self, name: str) -> dict[str, Any]:
        """Return a map of what could stand in JSON, so that every tool can show it.

        It is empty when the key is absent.

        Raises:
            CorruptionError: something else is in it, or it is nested deeper than 4 levels.
        """
        found: dict[str, Any] = _plain(name, self.find(name, dict) or {}, 4)
        return found

    def rows(self, name: str, length: int) -> list[tuple[int, ...]]:
        """Return a list that must be there, of lists of ``length`` numbers, none negative."""
        self.take(name, list)
        return self.find_rows(name, length)

    def find_rows(self, name: str, length: int) -> list[tuple[int, ...]]:
        """Return a list of lists as `rows` does, empty when the key is absent."""
        rows = [each_of(name, row, int) for row in self.find_each(name, list) or ()]
        for row in rows:
            if len(row) != length:
                raise CorruptionError(f"{name} has {len(row)} numbers, {length} expected")
            for number in row:
                within(name, number, 0, MAX_INT64)
        return rows


def within(name: str, value: int, lowest: int, highest: int) -> int:
    """Return a number that lies within bounds.

    Raises:
        CorruptionError: it does not.
    """
    if not lowest <= value <= highest:
        raise CorruptionError(f"{name} is {value}, {lowest} to {highest} expected")
    return value


def _nils(value: object) -> Iterator[str]:
    """Yield the places inside a value at which nil stands, in its order."""
    waiting: list[tuple[str, Iterator[tuple[Any, Any]]]] = [("", iter([(None, value)]))]
    while waiting:
        outer, inside = waiting[-1]
        key, inner = next(inside, (_nils, None))
        name = outer if key is None else f"{outer}.{key!s:.40}".removeprefix(".")
        if key is _nils:  # which is no key: nothing is left in there
            waiting.pop()
        elif inner is None:
            yield name
        elif isinstance(inner, dict):
            waiting.append((name, iter(inner.items())))
        elif isinstance(inner, list):
            waiting.append((name, ((None, below) for below in inner)))


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def each_of(name: str, values: Iterable[Any], kind: type[_Value]) -> tuple[_Value, ...]:
    """Return values that are all of one type.

    Raises:
        CorruptionError: one is not.
    """
    checked = tuple(values)
    for value in checked:
        if not _is(value, kind):
            raise CorruptionError(f"{name} holds {type(value).__name__}, {kind.__name__} expected")
    return checked


def _present(name: str, values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the pairs of a map whose keys have to be strings, without those whose value is nil."""
    return without_absent(dict(zip(each_of(name, values, str), values.values(), strict=True)))


def _plain(name: str, value: Any, depth: int) -> Any:
    if depth and isinstance(value, dict):
        present = _present(name, value)
        return {key: _plain(name, inner, depth - 1) for key, inner in present.items()}
    if depth and isinstance(value, list):
        return [_plain(name, item, depth - 1) for item in value]
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return within(name, value, MIN_INT64, MAX_INT64)
    raise CorruptionError(f"{name} holds {type(value).__name__}, text or numbers expected")


def without_absent(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the keys whose value is None: absence is an absent key (SPEC.md section 2.2)."""
    return {name: value for name, value in values.items() if value is not None}


def text(value: bytes) -> str:
    """Decode a name that the kernel gave: bytes, usually UTF-8; others survive as surrogates."""
    return value.decode("utf-8", "surrogateescape")


def untext(value: str) -> bytes:
    """Undo `text`."""
    return value.encode("utf-8", "surrogateescape")
