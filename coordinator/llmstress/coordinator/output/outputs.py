"""The outputs of a run: stdout and files. A check before the run ensures that the files are writable and distinct."""

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.log import LogFile
from llmstress.coordinator.output.summary import write_atomically

LAST_SUMMARY = "last-summary.json"
"""Name of the file in the state directory that holds the summary of the last run without `--output`."""

_REPLACED = ("--output", "--junit")
"""Flags whose files are written at the end of the run, as a whole."""


def check_outputs(options: Options) -> None:
    """Check the files of `--output`, `--record`, `--log-file` and `--junit`.

    Raises:
        UsageError: a file cannot be written, or two flags name the same file.
    """
    taken: dict[Path, str] = {}
    for flag, name in (
        ("--output", options.output),
        ("--record", options.record),
        ("--log-file", options.log_file),
        ("--junit", options.junit),
    ):
        if name is None:
            continue
        path = Path(name)
        try:
            _check(flag, path)
            place = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a loop of symbolic links
            raise UsageError(f"{flag} {name}: cannot write a file there ({_words(error)})") from None
        if place in taken and (place.is_file() or not place.exists()):
            raise UsageError(f"{taken[place]} and {flag} name the same file; use a different file for each")
        taken[place] = flag


def _check(flag: str, path: Path) -> None:
    """Check that a file can be written at `path`, or that the pipe or device there accepts data."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISFIFO(mode):
        # a pipe that this process inherited, like that of the shell's >(...), is open and has a reader
        if flag not in _REPLACED or not _is_open_here(path):
            raise UsageError(f"{flag} {path}: this is a pipe, and waiting for its reader could block the run")
    elif stat.S_ISREG(mode):
        _check_file(flag, path)
    elif flag == "--record":
        raise UsageError(f"{flag} {path}: the record is a database and needs a regular file")
    elif not os.access(path, os.W_OK) or stat.S_ISSOCK(mode):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _is_open_here(path: Path) -> bool:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.fstat(int(descriptor)), path.stat()):
                return True
        except OSError:
            continue  # the descriptor that os.listdir used
    return False


def _check_file(flag: str, path: Path) -> None:
    if flag not in _REPLACED and path.exists():
        with path.open("ab"):
            return
    # the file is replaced as a whole, or does not exist: a new file is created in the directory
    with tempfile.NamedTemporaryFile(dir=path.resolve().parent, prefix=f".{path.name[:64]}."):
        pass


def state_directory(environ: Mapping[str, str]) -> Path:
    """llmstress's directory for state that outlasts a run: in `XDG_STATE_HOME`, else in `~/.local/state`.

    Raises:
        FileNotFoundError: neither `XDG_STATE_HOME` nor `HOME` is an absolute path.
    """
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if os.path.isabs(state):  # the XDG specification says to ignore a relative path
        return Path(state) / "llmstress"
    if os.path.isabs(home):
        return Path(home) / ".local" / "state" / "llmstress"
    raise FileNotFoundError(errno.ENOENT, "neither XDG_STATE_HOME nor HOME is set")


def keep_summary(data: bytes, environ: Mapping[str, str]) -> Path:
    """Replace the last summary in the state directory by `data`, readable only by this user. Returns its path.

    Raises:
        OSError: the file cannot be written.
    """
    directory = state_directory(environ)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / LAST_SUMMARY
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it exists and is not a regular file", str(path))
    write_atomically(path, data, mode=0o600)
    return path


def open_log(options: Options) -> LogFile | None:
    """Open the file of `--log-file`; None if the flag was not given.

    Raises:
        UsageError: the file cannot be written.
    """
    if options.log_file is None:
        return None
    try:
        return LogFile(Path(options.log_file))
    except OSError as error:
        raise UsageError(f"--log-file {options.log_file}: {_words(error)}") from None


def write_out(text: bytes) -> None:
    """Write to stdout. A reader that has gone is not an error."""
    rest = memoryview(text)
    try:
        while rest:  # an unbuffered stdout (`python -u`) may accept only a part
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        # the reader has closed the pipe, or the terminal is closed; /dev/null keeps the flush at exit from failing
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
