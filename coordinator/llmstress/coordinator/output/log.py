"""The log file of a run, and a reader for the files that child processes write."""

import datetime
import errno
import os
from pathlib import Path

_MOST_BYTES = 1 << 20
"""Bytes of a file that are read at a time."""


class LogFile:
    """Appends lines to a file, each with the time (UTC) and its writer."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            OSError: the file cannot be written.
        """
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(self, writer: str, text: str) -> None:
        """Append the lines of `text` except blank ones; `writer` names their source, e.g. `worker 0`.

        Raises:
            OSError: the disk is full, or the file was removed.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "the file was removed")
        for line in text.splitlines():
            if line.strip():
                self._file.write(f"{now}Z {writer:<9} {line}\n")

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: the last lines could not be written.
        """
        self._file.close()


class Follower:
    """Reads the lines that another process appends to a file."""

    def __init__(self, path: Path) -> None:
        """`path`: a file that may not exist yet."""
        self._path = path
        self._at = 0
        self._rest = b""

    def lines(self, *, last: bool = False) -> list[str]:
        """The lines that were appended since the last call; with `last` also a line without line end."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read(-1 if last else _MOST_BYTES)
        except OSError:
            data = b""
        self._at += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if last and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in whole]
