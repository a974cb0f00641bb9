"""The files of a recording's parts, by number, on disks with as much room as a test gives them."""

from __future__ import annotations

from support import SmallDisk

from wcap.writer import open_output


class Files:
    """Opens parts in a folder, as long as it is let.

    Attributes:
        started: when the time of each part began.
        room: how many bytes there is room for in a part, by its number.
    """

    def __init__(self, folder, *, room=None):
        self.folder = folder
        self.started = []
        self.room = dict(room or {})
        self._opened = []

    def open(self, part, started_ns):
        path = self.folder / f"{part}.wcap"
        room = self.room.get(part)
        stream = open_output(path) if room is None else SmallDisk(path, room)
        self.started.append(started_ns)
        self._opened.append(path)
        return stream

    @property
    def last(self):
        return str(self._opened[-1])

    def discard(self):
        self._opened.pop().unlink()
