"""The fuzzer: python -m fuzz [SECONDS | FILE]. The bytes of findings are left in .fuzz/.

A file, such as a finding, is read in every way without fuzzing.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wcap"]):
    from fuzz.readers import COMMANDS, check
from fuzz.frames import mutated

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".fuzz"


def main(seconds: int) -> None:
    """Fuzz for some seconds, from the vectors, the samples and what earlier runs found worth it."""
    corpus = KEPT / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in [*ROOT.glob("samples/*.wcap"), *ROOT.glob("samples/vectors/*/*.wcap")]:
        shutil.copy(path, corpus / f"{path.parent.name}-{path.stem}")
    place = Path(tempfile.mkdtemp()) / "fuzzed.wcap"

    def one(data: bytes) -> None:
        # The library reads each, and a command that the bytes choose: all would be too slow.
        check(data, place, (COMMANDS[zlib.crc32(data) % len(COMMANDS)],))

    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_total_time={seconds}", "-max_len=20000", "-timeout=20",
         "-rss_limit_mb=1500", f"-artifact_prefix={KEPT}/", "-print_final_stats=1"],
        one,
        custom_mutator=lambda data, most, seed: mutated(data, most, seed, atheris.Mutate),
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    given = sys.argv[1] if sys.argv[1:] else "600"
    if given.isdecimal():
        main(int(given))
    else:
        check(Path(given).read_bytes(), Path(tempfile.mkdtemp()) / "read.wcap")
