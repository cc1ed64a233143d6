"""The log of a run: what is said, by whom and when, in a file; and the files that child processes write to."""

import datetime
import errno
import os
from pathlib import Path

_MOST = 1 << 20
"""Bytes of one file that are read at a time."""


class LogFile:
    """Lines with the time (UTC) and who said them, added to the end of a file as they come."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            OSError: it can't be written.
        """
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(self, who: str, text: str) -> None:
        """Add `text`, which may have several lines; blank ones are left out.

        Raises:
            OSError: the disk is full, or the file was removed.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "the file was removed")
        for line in text.splitlines():
            if line.strip():
                self._file.write(f"{now}Z {who:<9} {line}\n")

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: what was written last could not be kept.
        """
        self._file.close()


class Follower:
    """Reads what somebody else adds to a file."""

    def __init__(self, path: Path) -> None:
        """The file needs not be there yet."""
        self._path = path
        self._at = 0
        self._rest = b""

    def lines(self, *, last: bool = False) -> list[str]:
        """The lines that have been added since; with `last` also one that hasn't been ended."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read(-1 if last else _MOST)
        except OSError:
            data = b""
        self._at += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if last and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode("utf-8", "replace") for line in whole]
