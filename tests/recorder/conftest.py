"""What several tests of the recorder need: processes to look at."""

from __future__ import annotations

import subprocess

import pytest


class Tree:
    """A shell, a child of it and a grandchild, all of which wait for our word."""

    def __init__(self):
        self._root = subprocess.Popen(
            ["sh", "-c", "sh -c 'sh -c \"echo \\$\\$; read line\"; :'; :"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.root = self._root.pid
        self.youngest = int(self._root.stdout.readline())

    def close(self):
        self._root.communicate("\n")


@pytest.fixture
def tree():
    tree = Tree()
    yield tree
    tree.close()
