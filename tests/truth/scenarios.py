"""The programs that are recorded: scripts in programs/, each run in an empty folder.

A script takes one argument, how much of its work to do, ends with a failure if any part of it
failed, and leaves nothing running. It may rely on $PYTHON, and on $PORT being free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A script, and what it needs.

    Attributes:
        name: of the script, without its suffix.
        needs: the commands that it runs and that a machine may lack.
        short: its argument in the tests, for a few seconds.
        long: its argument in `make truth`.
    """

    name: str
    needs: tuple[str, ...]
    short: int
    long: int

    def command(self, size: int) -> tuple[str, ...]:
        """Return what runs it."""
        return ("bash", "-eu", "-o", "pipefail", str(PROGRAMS / f"{self.name}.sh"), str(size))


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("git", ("git",), short=150, long=3000),
        Scenario("build", ("gcc", "make"), short=6, long=48),
        Scenario("archive", ("tar", "gzip", "pigz"), short=1, long=12),
        Scenario("http", ("curl",), short=5, long=60),
        Scenario("redis", ("redis-server", "redis-cli", "redis-benchmark"), short=200, long=5000),
        Scenario("nginx", ("nginx", "ab", "curl"), short=200, long=2500),
        Scenario("sqlite", ("sqlite3",), short=200, long=5000),
        Scenario("pipes", (), short=60, long=1000),
        Scenario("keys", ("ssh-keygen", "openssl"), short=1, long=10),
        Scenario("threads", ("gcc",), short=100, long=1000),
        Scenario("calls", ("gcc",), short=1, long=5),
    )
}
