"""The private directory of a run, where its sockets are, and the list of all runs of this user."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmstress.coordinator.errors import CouldNotStart

ABOUT = "about"
"""Name of the file in a run's directory that says in a line what is run."""

_LONGEST = 80
"""Characters of a run's directory: a path of a Unix socket may have 107 bytes."""


def home() -> Path:
    """Where this user's runs have their directories: in `XDG_RUNTIME_DIR`, else in the directory for temporary files.

    Raises:
        CouldNotStart: what is there belongs to somebody else, or others could write into it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    candidates = [Path(runtime) / "llmstress"] if runtime and os.access(runtime, os.W_OK) else []
    candidates.append(Path(tempfile.gettempdir()) / f"llmstress-{os.getuid()}")
    path = next((each for each in candidates if len(str(each)) <= _LONGEST), Path(f"/tmp/llmstress-{os.getuid()}"))
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise CouldNotStart(f"{path} belongs to somebody else: set XDG_RUNTIME_DIR or TMPDIR to a directory of yours")
    if found.st_mode & 0o077:
        path.chmod(0o700)
    return path


@contextlib.contextmanager
def own_directory() -> Iterator[Path]:
    """A directory for the run of this process (mode 0700), gone afterwards."""
    base = home()
    _clear(base)
    path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def running() -> list[Path]:
    """The directories of this user's runs that still have their coordinator, oldest first."""
    base = home()
    _clear(base)
    return sorted((path for path in base.iterdir() if _pid_of(path) is not None), key=began)


def began(directory: Path) -> float:
    """When the run of a directory began (seconds of the epoch); 0 if it has just ended."""
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def coordinator_of(directory: Path) -> int:
    """Process id of the coordinator whose directory this is."""
    return int(directory.name.partition("-")[0])


def is_alive(pid: int) -> bool:
    """Whether there is such a process, of whatever user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _pid_of(path: Path) -> int | None:
    pid = path.name.partition("-")[0]
    return int(pid) if pid.isdigit() and path.is_dir() else None


def _clear(base: Path) -> None:
    """Remove what runs left whose coordinator was killed."""
    for path in base.iterdir():
        pid = _pid_of(path)
        if pid is not None and not is_alive(pid):
            shutil.rmtree(path, ignore_errors=True)
