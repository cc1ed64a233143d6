"""Reads the limits of this machine from the kernel: open files, ports, memory, processes, cores.

Limits of control groups (version 1 and 2) are those of this process's group and of every group above it; the tightest
applies. A limit that cannot be read counts as none. `proc` and `groups` are the mount points of `/proc` and
`/sys/fs/cgroup`.
"""

import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")

_PORTS = (32_768, 60_999)
"""Linux's default range of local ports."""

_UNLIMITED = 1 << 60
"""Memory limits from here on mean no limit: control groups of version 1 report about 2**63 bytes, less a page."""


class Headroom(msgspec.Struct, frozen=True):
    """How much of a resource is left."""

    amount: int
    limit: str
    """The limit that decides, in words for the user."""


class Machine(msgspec.Struct, frozen=True):
    """The resources of this machine; None: no limit."""

    files: int | None
    """Most open files of one process."""
    ports: int
    """Local ports: most connections from one local address to one port of one other address."""
    memory: Headroom | None
    """Bytes that are available."""
    tasks: Headroom | None
    """Processes and threads that can still be started."""
    quota: float | None
    """CPU quota, in cores."""


def read_machine(proc: Path = PROC, groups: Path = GROUPS) -> Machine:
    """The current limits of this machine."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        files=None if files == resource.RLIM_INFINITY else files,
        ports=local_ports(proc),
        memory=_tightest([*_available_memory(proc), *_group_memory(proc, groups)]),
        tasks=_tightest([*_group_tasks(proc, groups), *_user_tasks(proc)]),
        quota=cpu_quota(proc, groups),
    )


def available_cores(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Number of cores that this process may use, rounded down, at least one."""
    cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(proc, groups)
    return cores if quota is None else max(1, min(cores, int(quota)))


def local_ports(proc: Path = PROC) -> int:
    """Number of local ports that the kernel may choose for a connection."""
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
    """The CPU quota of the control groups, in cores; None: no limit."""
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
                    # inactive pages of the file cache can be reclaimed
                    max(0, most[0] - taken[0] + _entry(directory / "memory.stat", idle)),
                    f"the control group's {limit}",
                )


def _group_tasks(proc: Path, groups: Path) -> Iterator[Headroom]:
    for directory in _directories("pids", proc, groups):
        most, taken = _numbers(directory / "pids.max"), _numbers(directory / "pids.current")
        if most and taken:
            yield Headroom(max(0, most[0] - taken[0]), "the control group's pids.max")


def _user_tasks(proc: Path) -> Iterator[Headroom]:
    """What RLIMIT_NPROC leaves. It counts all threads of a user; root has no such limit."""
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
            continue  # the process has ended
    yield Headroom(max(0, limit - threads), "the limit of processes (ulimit -u)")


def _directories(controller: str, proc: Path, groups: Path) -> Iterator[Path]:
    """The directories of this process's control group and of the groups above it, for one controller."""
    for line in _text(proc / "self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        # version 2 has one tree for all controllers, version 1 one for each controller; both may be mounted
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
