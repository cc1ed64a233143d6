"""The private directory of a run, which contains its sockets, and the list of this user's runs.

A run holds a lock on its directory. The kernel releases the lock when the process ends, however it ends. A process id
would not do: in another container that shares the directory it names another process, or none.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmstress.coordinator.config.errors import CouldNotStart

ABOUT = "about"
"""Name of the file in a run's directory that describes the run in one line."""

SCREEN_LOG = "screen.log"
"""Name of the file to which the run's own screen writes errors; its stderr is the terminal that it draws on."""

TRACE = "trace"
"""Name of the directory in a run's directory with the arrivals of its trace (`engine/trace.py`)."""

PROMPTS = "prompts"
"""Name of the directory in a run's directory with the indexes of its prompts, if they can be kept nowhere else."""

_LONGEST = 80
"""Most characters of the base directory's path: the path of a Unix socket may have 107 bytes."""


def home() -> Path:
    """The base directory of this user's runs: in `XDG_RUNTIME_DIR`, else in the directory for temporary files.

    Raises:
        CouldNotStart: the directory belongs to another user, or is not writable.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    candidates = [Path(runtime) / "llmstress"] if runtime and os.access(runtime, os.W_OK) else []
    candidates.append(Path(tempfile.gettempdir()) / f"llmstress-{os.getuid()}")
    path = next((each for each in candidates if len(str(each)) <= _LONGEST), Path(f"/tmp/llmstress-{os.getuid()}"))
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise CouldNotStart(
                f"{path} belongs to another user; set XDG_RUNTIME_DIR or TMPDIR to a directory of yours"
            )
        if found.st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise CouldNotStart(
            f"cannot create the run's directory {path} ({error.strerror}): set TMPDIR to another place"
        ) from None
    return path


@contextlib.contextmanager
def own_directory() -> Iterator[Path]:
    """A new directory (mode 0700) for the run of this process, locked, and removed at the end.

    Raises:
        CouldNotStart: it cannot be created.
    """
    base = home()
    try:
        with _locked(base):  # no other process may remove the new directory before it is locked
            _clear(base)
            path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))
            held = _lock(path)
    except OSError as error:
        raise CouldNotStart(
            f"cannot create the run's directory in {base} ({error.strerror}): set TMPDIR to another place"
        ) from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def running() -> list[Path]:
    """The directories of this user's runs whose coordinator is alive, oldest first.

    Raises:
        CouldNotStart: the base directory belongs to another user.
    """
    base = home()
    with _locked(base):
        _clear(base)
        return sorted((path for path in base.iterdir() if _pid_of(path) is not None), key=began)


def began(directory: Path) -> float:
    """Start of the run of a directory (seconds since the epoch); 0 if the run has just ended."""
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def coordinator_of(directory: Path) -> int:
    """Process id of the coordinator of a directory, as seen in the coordinator's own PID namespace."""
    return int(directory.name.partition("-")[0])


def is_alive(directory: Path) -> bool:
    """Whether the coordinator of a directory is alive."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(path: Path) -> int:
    """A descriptor that holds the lock on `path`. Child processes do not inherit it."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = _lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _pid_of(path: Path) -> int | None:
    pid = path.name.partition("-")[0]
    return int(pid) if pid.isdigit() and path.is_dir() else None


def _clear(base: Path) -> None:
    """Remove the directories of runs whose coordinator was killed."""
    for path in base.iterdir():
        if _pid_of(path) is not None and not is_alive(path):
            shutil.rmtree(path, ignore_errors=True)
