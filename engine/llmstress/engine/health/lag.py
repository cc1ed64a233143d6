"""The lag of the event loop, the CPU times of the machine, and the memory of this process."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from llmstress.engine.health.timerfd import TimerFd

MEAN_PERIOD_S = 0.02
"""Seconds between two measurements: 50 a second make 3,000 a minute, which are enough for a p99."""


class LagMeter:
    """Measures the lag of the event loop about fifty times a second, at random moments, and passes it to `report` in
    µs.

    A kernel timer is served like a socket, so its lateness is the error that the stamp of a read can have. The moments
    are random so that they do not coincide with periodic work.
    """

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._random = random.Random()
        self._due = 0
        self._timer = TimerFd()
        asyncio.get_running_loop().add_reader(self._timer.fd, self._fired)
        self._arm()

    def close(self) -> None:
        """Stop the measurements."""
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
    """CPU times since the machine started, in ns: the sum over the cores that this process may use."""

    passed: int
    """The time that has passed, idle time included."""
    busy: int
    """The time that a core ran any process, ours or another."""
    stolen: int
    """The time that a core was ready to run, but the hypervisor gave the time to another virtual machine."""


def host_times() -> HostTimes:
    """The times in /proc/stat, which are in steps of 10 ms; zeros if there is no such file."""
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
