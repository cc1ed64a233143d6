"""Ends a child process when its parent process dies."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """The kernel sends SIGKILL to this process when its parent dies. If the parent is dead already, this process exits.

    Call it in the child before anything else. `parent_pid` is the parent's `os.getpid()` from before it started the
    child. The kernel watches the thread that started the child, so that thread must live as long as the parent.

    Raises:
        OSError: prctl failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # If the parent died before the prctl, the kernel sends no signal.
    if os.getppid() != parent_pid:
        os._exit(1)
