"""The private directory of a run, where its sockets are, and the list of all runs of this user.

A run holds a lock on its directory for as long as it lives: the kernel lets go of it, however the run ends. A process
id would not do: in another container that shares the place it means another process, or none.
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
"""Name of the file in a run's directory that says in a line what is run."""

SCREEN_LOG = "screen.log"
"""Name of the file that the run's own screen writes its errors to; the terminal is full of something else."""

_LONGEST = 80
"""Characters of a run's directory: a path of a Unix socket may have 107 bytes."""


def home() -> Path:
    """Where this user's runs have their directories: in `XDG_RUNTIME_DIR`, else in the directory for temporary files.

    Raises:
        CouldNotStart: what is there belongs to somebody else, or nothing can be written there.
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
    """A directory for the run of this process (mode 0700), locked, and gone afterwards.

    Raises:
        CouldNotStart: it can't be made.
    """
    base = home()
    try:
        with _locked(base):  # nobody clears it before it has its lock
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
    """The directories of this user's runs that still have their coordinator, oldest first.

    Raises:
        CouldNotStart: the place for them belongs to somebody else.
    """
    base = home()
    with _locked(base):
        _clear(base)
        return sorted((path for path in base.iterdir() if _pid_of(path) is not None), key=began)


def began(directory: Path) -> float:
    """When the run of a directory began (seconds of the epoch); 0 if it has just ended."""
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def coordinator_of(directory: Path) -> int:
    """Process id of the coordinator whose directory this is, as it sees itself."""
    return int(directory.name.partition("-")[0])


def is_alive(directory: Path) -> bool:
    """Whether the run of a directory still has its coordinator."""
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
    """A descriptor that holds the lock on `path`; children don't inherit it."""
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
    """Remove what runs left whose coordinator was killed."""
    for path in base.iterdir():
        if _pid_of(path) is not None and not is_alive(path):
            shutil.rmtree(path, ignore_errors=True)
