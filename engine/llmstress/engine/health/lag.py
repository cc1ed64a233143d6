"""How well this process itself does: how late its event loop serves a timer, how much memory it holds."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from llmstress.engine.health.timerfd import TimerFd

MEAN_PERIOD_S = 0.02
"""50 moments a second: a minute's 3,000 carry a p99."""


class LagMeter:
    """Calls `report(microseconds late)` about fifty times a second, at random moments.

    A timer of the kernel is served like a socket, so its lateness is the error that a stamp can have.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._random = random.Random()
        self._due = 0
        self._timer = TimerFd()
        asyncio.get_running_loop().add_reader(self._timer.fd, self._fired)
        self._arm()

    def close(self) -> None:
        """Stop probing."""
        asyncio.get_running_loop().remove_reader(self._timer.fd)
        self._timer.close()

    def _arm(self) -> None:
        self._due = time.monotonic_ns() + int(self._random.uniform(0.5, 1.5) * MEAN_PERIOD_S * 1e9)
        self._timer.set(self._due)

    def _fired(self) -> None:
        late = time.monotonic_ns() - self._due
        self._timer.clear()
        self._report(late // 1000)
        self._arm()


class HostTimes(NamedTuple):
    """What the cores that this process may use have done since the machine started: nanoseconds, all cores together."""

    passed: int
    busy: int
    """Running whatever process, ours or another."""
    stolen: int
    """Wanted to run, but the hypervisor gave the time to another machine."""


def host_times() -> HostTimes:
    """What the kernel has counted, in steps of 10 ms; zeros if it doesn't say."""
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    passed = busy = stolen = 0
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, *fields = line.split()
        if name in cores and len(fields) >= 8:
            user, nice, system, idle, waiting, hard_irq, soft_irq, steal = map(int, fields[:8])
            busy += user + nice + system + hard_irq + soft_irq
            stolen += steal
            passed += user + nice + system + hard_irq + soft_irq + steal + idle + waiting
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return HostTimes(passed * tick, busy * tick, stolen * tick)


def resident_bytes() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
