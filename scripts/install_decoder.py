#!/usr/bin/env python3
"""Installs the packages of samples/decoders/javascript, as its package-lock.json names them.

`npm ci` there does the same; but npm is some 350 packages of Debian, and two are wanted. They come
from npm's registry, or the one that npm is configured to use. Does nothing when all is there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "samples/decoders/javascript"
REGISTRY = "https://registry.npmjs.org/"
# Seconds without an answer.
PATIENCE = 60


def registry() -> str:
    """Return the registry that npm would ask: of the environment, of ~/.npmrc, or its own."""
    settings = {name.lower(): value for name, value in os.environ.items()}  # npm takes any case
    given = settings.get("npm_config_registry")
    if not given:
        config = Path.home() / ".npmrc"
        text = config.read_text(encoding="utf-8") if config.is_file() else ""
        found = re.search(r"^registry\s*=\s*(\S+)", text, re.MULTILINE)
        given = found[1] if found else REGISTRY
    return given.rstrip("/")


def tarball(name: str, version: str, integrity: str) -> bytes:
    """Return the package, if it is what the lock says.

    Raises:
        OSError: it cannot be fetched.
        ValueError: it is another one.
    """
    place = f"{registry()}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    with urllib.request.urlopen(place, timeout=PATIENCE) as answer:
        data: bytes = answer.read()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode("ascii")
    if found != integrity:
        raise ValueError(f"{name} {version}: {integrity} expected, {found} found")
    return data


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of a package, whose names all begin with one folder, into another."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            inside = archive.extractfile(member)
            if inside is None:
                continue
            path = folder / member.name.partition("/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(inside.read())


def main() -> int:
    """Install what is not there. A package is moved to its place when it is whole."""
    lock = json.loads((PROJECT / "package-lock.json").read_text(encoding="utf-8"))
    for place, package in lock["packages"].items():
        if not place:
            continue  # the project itself
        folder = PROJECT / place
        name, version = place.removeprefix("node_modules/"), package["version"]
        try:
            if json.loads((folder / "package.json").read_bytes())["version"] == version:
                continue
        except (OSError, ValueError):
            pass  # absent, or not whole
        print(f"install_decoder: installing {name} {version}", file=sys.stderr)
        coming = folder.with_name(f".{folder.name}")
        shutil.rmtree(coming, ignore_errors=True)
        try:
            unpack(tarball(name, version, package["integrity"]), coming)
        except (OSError, ValueError) as error:
            print(f"install_decoder: could not install {name}: {error}", file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        coming.rename(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
