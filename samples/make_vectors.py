"""Write the test vectors of vectors/, the same bytes each time: python make_vectors.py [FOLDER].

Made from SPEC.md alone, without wcap: see vectormaker/. vectors/README.md says what they are.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from vectormaker import damaged, rewritten, unsupported, valid
from vectormaker.meaning import describe, sources
from vectormaker.table import readme

SAMPLES = Path(__file__).parent
SHIPPED = SAMPLES / "vectors"


def main(folder: Path) -> None:
    """Write every vector, and the list of them, into a folder."""
    kept = {path.stem for path in SHIPPED.glob("*/frozen-*.wcap")}
    for path in folder.glob("*/*.*"):
        if path.stem not in kept:
            path.unlink()
    sorts = valid, damaged, unsupported, rewritten
    for vector in (vector for sort in sorts for vector in sort.vectors()):
        place = folder / f"{vector.name}.wcap"
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            raise SystemExit(f"{vector.name} is made twice")
        place.write_bytes(vector.data)
        place.with_suffix(".json").write_text(describe(vector), encoding="utf-8")
        for name, data in sources(vector):
            (folder / name).write_bytes(data)
    if folder.resolve() != SHIPPED.resolve():
        for path in SHIPPED.glob("*/frozen-*"):
            shutil.copy(path, folder / path.parent.name)
    specification = (SAMPLES.parent / "SPEC.md").read_text(encoding="utf-8")
    rules = re.findall(r"^\* \*\*\[([WR]\d+)\]\*\*", specification, re.MULTILINE)
    (folder / "README.md").write_text(readme(folder, rules), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else SHIPPED)
