"""Processes that write numbers, and what there is to be found of that.

Every write of a writer is 64 bytes: who wrote, which number, and the same bytes after it, so that a
lost, doubled, mixed up or spoiled one shows. One more process makes calls that take long, which
hold back those after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from kernel.support import Puppet

# Where writers write to, so that their writes are told from all others.
FD = 100
WRITERS = 2
WRITE = np.dtype([("who", "<u8"), ("number", "<u8"), ("rest", "V48")])
REST = bytes(range(1, 49))

_WRITER = f"""
import struct
os.dup2(null, {FD})
rest = bytes(range(1, 49))
n = 0
while True:
    for _ in range({{burst}}):
        os.write({FD}, struct.pack("<QQ", {{who}}, n) + rest)
        n += 1
    time.sleep({{pause}})
"""
_SLOW = """
reading, writing = os.pipe()
capacity = libc.fcntl(writing, 1032)  # F_GETPIPE_SZ
def empty():
    while True:
        time.sleep(0.7)
        left = capacity + 1
        while left:
            left -= len(os.read(reading, left))
threading.Thread(target=empty, daemon=True).start()
while True:
    os.write(writing, bytes(capacity + 1))
"""
# How many writes come in a row, and the seconds between: with pauses the recorder keeps up, without
# any it may be behind, or lose some.
RHYTHMS = {"bursts": (100, 0.01), "flat out": (10_000, 0.0)}


@contextmanager
def ready_to_write(rhythm: str) -> Iterator[list[Puppet]]:
    """Yield processes that write once they are told to, until the context is left."""
    burst, pause = RHYTHMS[rhythm]
    writers = [_WRITER.format(who=who, burst=burst, pause=pause) for who in range(WRITERS)]
    with ExitStack() as stack:
        yield [stack.enter_context(Puppet(code)) for code in (*writers, _SLOW)]
