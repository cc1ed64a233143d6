"""Where the indexes of files of prompts are kept from run to run."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

MOST_INDEXES = 32

MOST_BYTES = 1 << 30
"""Of all indexes together, besides the one that was made last."""


def cache_directory(environ: Mapping[str, str]) -> Path:
    """llmstress's directory of files that can be made again: in `XDG_CACHE_HOME`, else in `~/.cache`.

    Raises:
        FileNotFoundError: neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
    """
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if os.path.isabs(cache):
        return Path(cache) / "llmstress"
    if os.path.isabs(home):
        return Path(home) / ".cache" / "llmstress"
    raise FileNotFoundError(errno.ENOENT, "neither XDG_CACHE_HOME nor HOME is set")


def index_directory(environ: Mapping[str, str], otherwise: Path) -> Path:
    """The directory of indexes, which exists then; `otherwise`, if it can't be written.

    Raises:
        OSError: that can't be written either.
    """
    try:
        directory = cache_directory(environ) / "prompts"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory):
            return directory
    except OSError:
        otherwise.mkdir(exist_ok=True)
        return otherwise


def bound(directory: Path, keep: Path) -> None:
    """Remove the indexes that were not used for longest, until the others are few and small enough."""
    found: list[tuple[float, Path, int]] = []
    with contextlib.suppress(OSError):
        for path in directory.glob("*.places"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, path, stat.st_size))
    found = [each for each in sorted(found, reverse=True) if each[1] != keep]
    total = 0
    for number, (_, path, size) in enumerate(found, 2):
        total += size
        if number > MOST_INDEXES or total > MOST_BYTES:
            for each in (path.with_suffix(".json"), path):
                each.unlink(missing_ok=True)
