"""What this machine lets a run have: files, ports, memory, processes, cores. Read where the kernel tells it.

Limits of control groups, version 1 and 2, are those of this process's own group and of every group above it; the
tightest counts. What can't be read is no limit. `proc` and `groups` are where those file systems are.
"""

import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")

_PORTS = (32_768, 60_999)
"""The ports that Linux gives out by default."""

_UNLIMITED = 1 << 60
"""What version 1 says for "no limit of memory" is about 2**63, less a page."""


class Headroom(msgspec.Struct, frozen=True):
    """How much of something is left, and who says so."""

    amount: int
    limit: str


class Machine(msgspec.Struct, frozen=True):
    """What a run may use; None: no limit."""

    files: int | None
    """Open files of one process."""
    ports: int
    """Connections from one local address to one port of one other address."""
    memory: Headroom | None
    """Bytes."""
    tasks: Headroom | None
    """Processes and threads."""
    quota: float | None
    """Cores' worth of time."""


def read_machine(proc: Path = PROC, groups: Path = GROUPS) -> Machine:
    """This machine, now."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        files=None if files == resource.RLIM_INFINITY else files,
        ports=local_ports(proc),
        memory=_tightest([*_available_memory(proc), *_group_memory(proc, groups)]),
        tasks=_tightest([*_group_tasks(proc, groups), *_user_tasks(proc)]),
        quota=cpu_quota(proc, groups),
    )


def available_cores(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """How many cores this process may use: at least one, whole ones only."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(proc, groups)
    return cores if quota is None else max(1, min(cores, int(quota)))


def local_ports(proc: Path = PROC) -> int:
    """How many ports the kernel may choose from when a connection is made."""
    directory = proc / "sys/net/ipv4"
    bounds = _numbers(directory / "ip_local_port_range")
    low, high = bounds if len(bounds) == 2 else _PORTS
    reserved: set[int] = set()
    for part in _text(directory / "ip_local_reserved_ports").strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            reserved.update(range(max(low, int(first)), min(high, int(last or first)) + 1))
    return max(0, high - low + 1 - len(reserved))


def cpu_quota(proc: Path = PROC, groups: Path = GROUPS) -> float | None:
    """How many cores' worth of time the control groups grant; None: no limit."""
    quotas: list[float] = []
    for directory in _directories("cpu", proc, groups):
        quota, _, period = _text(directory / "cpu.max").strip().partition(" ")  # version 2: "max 100000"
        if not quota:
            quota, period = (_text(directory / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def _tightest(rooms: Iterable[Headroom]) -> Headroom | None:
    return min(rooms, key=lambda room: room.amount, default=None)


def _available_memory(proc: Path) -> Iterator[Headroom]:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield Headroom(int(line.split()[1]) * 1024, "this machine's memory")


def _group_memory(proc: Path, groups: Path) -> Iterator[Headroom]:
    for directory in _directories("memory", proc, groups):
        for limit, used, idle in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, taken = _numbers(directory / limit), _numbers(directory / used)
            if most and taken and most[0] < _UNLIMITED:
                yield Headroom(
                    # files that were read long ago give way
                    max(0, most[0] - taken[0] + _entry(directory / "memory.stat", idle)),
                    f"the control group's {limit}",
                )


def _group_tasks(proc: Path, groups: Path) -> Iterator[Headroom]:
    for directory in _directories("pids", proc, groups):
        most, taken = _numbers(directory / "pids.max"), _numbers(directory / "pids.current")
        if most and taken:
            yield Headroom(max(0, most[0] - taken[0]), "the control group's pids.max")


def _user_tasks(proc: Path) -> Iterator[Headroom]:
    """RLIMIT_NPROC counts all threads of a user; root has no such limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    uid = os.getuid()
    if uid == 0 or limit == resource.RLIM_INFINITY:
        return
    threads = 0
    for path in proc.glob("[0-9]*"):
        try:
            if path.stat().st_uid == uid:
                threads += _entry(path / "status", "Threads:")
        except OSError:
            continue  # it has ended
    yield Headroom(max(0, limit - threads), "the limit of processes (ulimit -u)")


def _directories(controller: str, proc: Path, groups: Path) -> Iterator[Path]:
    """The directories of this process's control group and of those above it, for one controller."""
    for line in _text(proc / "self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        # version 2 is one tree for all controllers, version 1 has one for each; both can be there
        roots = [groups / controller] if controller in names.split(",") else [groups, groups / "unified"]
        if names and controller not in names.split(","):
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for root in roots:
            for depth in range(len(parts), -1, -1):
                yield root.joinpath(*parts[:depth])


def _entry(path: Path, name: str) -> int:
    for line in _text(path).splitlines():
        key, *values = line.split()
        if key == name and values and values[0].isdigit():
            return int(values[0])
    return 0


def _numbers(path: Path) -> list[int]:
    words = _text(path).split()
    return [int(word) for word in words] if all(word.isdigit() for word in words) else []


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
