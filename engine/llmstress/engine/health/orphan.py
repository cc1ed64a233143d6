"""Ties the life of a child process to the one of its parent."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGKILL to this process when its parent dies; exit at once if it already did.

    Call it in the child, before anything else; `parent_pid` is what the parent's `os.getpid()` said before it
    started the child. What counts is the thread that started the child: it has to live as long as the parent.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # a parent that died before the prctl() sends nothing any more
    if os.getppid() != parent_pid:
        os._exit(1)
