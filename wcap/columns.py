"""One column of numbers ⇄ one small map (SPEC.md section 5.2). No files, no frames.

A column is stored as unsigned steps above a base, in as few bytes a step as they all fit in,
byte plane by byte plane, and compressed with zstd when that makes it smaller. The steps are
the numbers themselves, or their difference from the number before (``delta``), from the number
before on the same CPU (``delta-by``), or from another column (``minus``). A column whose steps
are all equal takes no bytes at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.errors import CorruptionError
from wcap.packed import pack, unpack

Column = npt.NDArray[Any]

_WIDTHS = (0, 1, 2, 4, 8)
_INT64 = range(-(1 << 63), 1 << 63)
_MODULUS_MASK = (1 << 64) - 1
_WIDEST = np.dtype(np.int64)


def encode(
    values: npt.NDArray[Any],
    *,
    minus: tuple[str, npt.NDArray[Any]] | None = None,
    by: npt.NDArray[Any] | None = None,
) -> dict[str, Any]:
    """Encode a column of integers.

    Args:
        values: the numbers, at least one.
        minus: another column that these numbers nearly equal, with its name.
        by: the CPU of each number: differences are then taken within a CPU.

    Without ``minus`` and ``by`` the numbers or their differences are stored, whichever take
    fewer bytes a number, or else whichever leave less to compress.
    """
    numbers = values.astype(np.int64, copy=False)
    if minus is not None:
        name, other = minus
        return {"minus": name, **_above(numbers - other.astype(np.int64, copy=False))}
    if by is not None:
        return _encode_by(numbers, by)
    plain_base = int(numbers.min())
    spread = int(numbers.max()) - plain_base
    if len(numbers) > 1 and spread > 0:
        deltas = np.diff(numbers)
        width, saved = _width(spread), _width(int(deltas.max()) - int(deltas.min()))
        if saved < width or (saved == width > 1 and _are_small(deltas, spread)):
            return {"delta": int(numbers[0]), **_above(deltas)}
    return _above(numbers)


def decode(
    stored: Mapping[str, Any],
    length: int,
    decoded: Mapping[str, Column],
    kind: np.dtype[Any] = _WIDEST,
) -> Column:
    """Decode a column of ``length`` numbers of type ``kind``.

    Args:
        stored: the map.
        length: of the column.
        decoded: gives the columns that it refers to.
        kind: an integer type. What is not of 64 bits, signed, is computed in it where no number
            can be beyond it: half of the memory to go through is half of the time.

    Raises:
        LimitError, CorruptionError: the map breaks a rule of SPEC.md section 5.2, or a number is
            beyond ``kind``.
    """
    kinds = [name for name in ("minus", "delta-by", "delta") if stored.get(name) is not None]
    if len(kinds) > 1:
        raise CorruptionError("a column has two kinds of differences")
    try:
        if kinds == ["minus"]:
            return _decode_minus(stored, length, decoded[stored["minus"]], kind)
        if kinds == ["delta-by"]:
            return _typed(_decode_by(stored, length, decoded["cpu"]), kind)
        if kinds == ["delta"]:
            numbers = np.empty(length, dtype=np.int64)
            numbers[0] = _int64("delta", stored["delta"])
            _below(stored, length - 1, into=numbers[1:])
            return _typed(np.cumsum(numbers, out=numbers), kind)
        return _below(stored, length, kind)
    except KeyError as error:
        raise CorruptionError(f"a column lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise CorruptionError(f"a column is malformed: {error}") from error


def _are_small(deltas: npt.NDArray[np.int64], spread: int) -> bool:
    """Tell whether most differences have a byte less than the numbers, although some have not."""
    return float(np.abs(deltas).mean()) * 256 < spread


def _decode_minus(
    stored: Mapping[str, Any], length: int, other: Column, kind: np.dtype[Any]
) -> Column:
    steps, numbers = _below(stored, length), other.view(np.int64)
    return _typed(numbers + steps if steps.any() else numbers, kind)


def _typed(numbers: Column, kind: np.dtype[Any]) -> Column:
    """Turn 64-bit numbers into a type that may be narrower.

    Raises:
        CorruptionError: one is beyond it.
    """
    limits = np.iinfo(kind)
    if kind.itemsize < numbers.itemsize and not (
        limits.min <= int(numbers.min(initial=0)) and int(numbers.max(initial=0)) <= limits.max
    ):
        raise CorruptionError(f"a column holds a number beyond {kind}")
    return numbers.astype(kind, copy=False)


def _encode_by(numbers: npt.NDArray[np.int64], by: npt.NDArray[Any]) -> dict[str, Any]:
    order, first = _grouped(by)
    grouped = numbers[order]
    deltas = np.diff(grouped, prepend=grouped[:1])
    bases = [[int(by[order[row]]), int(grouped[row])] for row in np.flatnonzero(first).tolist()]
    within = deltas[~first]
    return {"delta-by": bases, **(_above(within) if len(within) else {"base": 0, "width": 0})}


def _decode_by(stored: Mapping[str, Any], length: int, by: Column) -> Column:
    order, first = _grouped(by)
    listed = stored["delta-by"]
    if not isinstance(listed, list):
        raise CorruptionError("a column's delta-by is not a list")
    bases = {_int64("CPU", cpu): _int64("base", base) for cpu, base in listed}
    starts = np.flatnonzero(first)
    if len(listed) != len(starts):
        raise CorruptionError(f"a column has {len(listed)} bases, {len(starts)} expected")
    steps = np.empty(length, dtype=np.int64)
    steps[~first] = _below(stored, length - len(starts))
    steps[starts] = 0
    run = np.cumsum(steps)
    lengths = np.diff(starts, append=length)
    base = np.array([bases[int(by[order[row]])] for row in starts.tolist()], dtype=np.int64)
    numbers = np.empty(length, dtype=np.int64)
    numbers[order] = run + np.repeat(base - run[starts], lengths)
    return numbers


def _grouped(by: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Order rows by ``by``, keeping their order within it; mark the first row of each."""
    if bool((by == by[0]).all()):
        order = np.arange(len(by))
    else:
        # numpy sorts numbers of 16 bits by radix, in a fraction of the time.
        narrow = by.astype(np.uint16) if int(by.max()) < 1 << 16 else by
        order = np.argsort(narrow, kind="stable")
    grouped = by[order]
    first = np.ones(len(by), dtype=np.bool_)
    first[1:] = grouped[1:] != grouped[:-1]
    return order, first


def _above(numbers: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Store numbers as steps above their minimum, byte plane by byte plane."""
    base = int(numbers.min())
    width = _width(int(numbers.max()) - base)
    if width == 0:
        return {"base": base, "width": 0}
    # Modulo 2**64, so that a spread of more than 2**63 is stored as well.
    steps = numbers.view(np.uint64) - np.uint64(base & _MODULUS_MASK)
    planes = steps.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T
    return {"base": base, "width": width, **pack(planes.tobytes())}


def _below(
    stored: Mapping[str, Any],
    length: int,
    kind: np.dtype[Any] = _WIDEST,
    into: Column | None = None,
) -> Column:
    """Return the numbers that `_above` stored, put ``into`` a column of their type if given."""
    base, steps = _int64("base", stored["base"]), _steps(stored, length)
    limits = np.iinfo(kind)
    numbers: Column = np.empty(length, dtype=kind) if into is None else into
    if limits.min <= base <= limits.max - int(np.iinfo(steps.dtype).max):
        if stored["width"] == 0:
            numbers.fill(base)
            return numbers
        numbers[...] = steps
        if base:
            numbers += kind.type(base)
    else:
        numbers[...] = _typed((steps + np.uint64(base & _MODULUS_MASK)).view(np.int64), kind)
    return numbers


def _steps(stored: Mapping[str, Any], length: int) -> npt.NDArray[Any]:
    """Return how far each number is above the base, in as few bytes as they are stored in."""
    width = stored["width"]
    if type(width) is not int or width not in _WIDTHS:
        raise CorruptionError(f"a column's width is {width!r:.40}, one of {_WIDTHS} expected")
    raw = unpack(stored, length * width)
    if len(raw) != length * width:
        raise CorruptionError(f"a column has {len(raw)} bytes, {length * width} expected")
    if width == 0:
        return np.zeros(length, dtype=np.uint8)
    planes = np.frombuffer(raw, dtype=np.uint8).reshape(width, length)
    if width == 1:
        steps: Column = planes[0]
        return steps
    if width == 2:
        high: Column = planes[1].astype("<u2") << 8
        high |= planes[0]
        return high
    # One plane after the other: numpy transposes such a long, narrow array much more slowly.
    rows = np.empty((length, width), dtype=np.uint8)
    for place, plane in enumerate(planes):
        rows[:, place] = plane
    return rows.view(np.dtype(f"<u{width}")).ravel()


def _int64(name: str, value: object) -> int:
    if type(value) is not int or value not in _INT64:
        raise CorruptionError(f"a column's {name} is {value!r:.40}, a signed 64-bit one expected")
    return value


def _width(spread: int) -> int:
    if spread == 0:
        return 0
    return next(width for width in _WIDTHS[1:] if spread < 1 << (8 * width))
