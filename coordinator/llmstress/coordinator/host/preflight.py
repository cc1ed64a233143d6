"""Checks before a run whether this machine has enough resources for it.

`needs_of` computes what a run needs, and `shortage` compares that with a machine; both are pure. `check_machine` reads
the limits of the real machine.
"""

import resource
from urllib.parse import urlsplit

import msgspec

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import ip_version
from llmstress.coordinator.config.target_url import Target
from llmstress.coordinator.host.machine import Machine, read_machine
from llmstress.engine.control import Network

SPARE_FILES = 64
"""File descriptors of a worker besides its streams: connection to the coordinator, event loop, timer, DNS."""

WORKER_BYTES = 45_000_000
"""Memory of a worker without streams."""

STREAM_BYTES, TLS_BYTES = 16 << 10, 60 << 10
"""Memory of a connection, in the process and in the kernel, and the memory that TLS adds."""

WORKER_TASKS = 4
"""Threads of a worker: event loop, two of ZeroMQ, DNS."""


class Needs(msgspec.Struct, frozen=True):
    """The resources that a run needs."""

    procs: int
    streams: int
    """Streams of the process with the most."""
    total: int
    """Streams of all processes."""
    flag: str
    """The flag that sets the number of streams."""
    tls: bool
    pairs: int | None
    """Pairs of a local address and an address of the target; each pair has local ports of its own. None: there are
    enough ports in any case."""
    all_used: bool = True
    """All streams are used. At a rate, only as many are made as requests are in flight."""

    @property
    def stream_bytes(self) -> int:
        """Memory of one stream."""
        return STREAM_BYTES + (TLS_BYTES if self.tls else 0)


def needs_of(options: Options, target: Target, networks: list[Network], addresses: list[str]) -> Needs:
    """What a run needs.

    Args:
        options: options of the run.
        target: its target.
        networks: the network of each worker.
        addresses: the addresses that workers connect to.
    """
    in_stages = bool(options.stages) and not options.open
    return Needs(
        procs=options.procs,
        streams=max(options.shares),
        total=options.total_streams,
        flag="--streams" if options.total is None else "--total-streams" if not in_stages else "--stage",
        tls=urlsplit(target.url).scheme == "https",
        pairs=_pairs(list(options.source_ips), networks, addresses),
        all_used=not options.open,
    )


def _pairs(named: list[str], networks: list[Network], addresses: list[str]) -> int | None:
    if not addresses or (not named and any(network.sources for network in networks)):
        return None  # Unix socket, unknown host, or `with_sources` has provided enough loopback source addresses
    versions = [ip_version(address) for address in addresses]
    return sum(versions.count(ip_version(source)) for source in set(named)) if named else len(addresses)


def shortage(needs: Needs, machine: Machine) -> str:
    """An error message with advice if the machine lacks a resource; empty: the run is possible."""
    each, flag = needs.streams, needs.flag
    if machine.files is not None and each + SPARE_FILES > machine.files:
        return (
            f"{each:,} streams per process ({flag}) need {each + SPARE_FILES:,} open files, but the limit is "
            f"{machine.files:,}: use at most {max(0, machine.files - SPARE_FILES):,} per process with more --procs, "
            "or raise the limit (ulimit -Hn)"
        )
    if needs.pairs is not None and needs.total > machine.ports * needs.pairs:
        return (
            f"{needs.total:,} streams ({flag}) need as many local ports, but there are {machine.ports * needs.pairs:,} "
            "from here to this target (net.ipv4.ip_local_port_range): add local addresses with --source-ip"
        )
    used = needs.total if needs.all_used else 0
    need = needs.procs * WORKER_BYTES + used * needs.stream_bytes
    if machine.memory is not None and need > machine.memory.amount:
        return (
            f"{_number(needs.procs, 'process', 'es')}{_with_streams(used)} need about {_size(need)}, "
            f"but {machine.memory.limit} leaves {_size(machine.memory.amount)}: "
            + _how_to_fit(needs, machine.memory.amount)
        )
    tasks = needs.procs * WORKER_TASKS
    if machine.tasks is not None and tasks > machine.tasks.amount:
        return (
            f"{_number(needs.procs, 'process', 'es')} (--procs) need {tasks:,} threads, but {machine.tasks.limit} "
            f"leaves {machine.tasks.amount:,}: use fewer --procs, or raise the limit"
        )
    return ""


def warnings_of(needs: Needs, machine: Machine) -> list[str]:
    """Warnings about a run that is possible, but whose figures will suffer."""
    if machine.quota is not None and needs.procs > max(1.0, machine.quota):
        return [
            f"{needs.procs} processes (--procs) share the {machine.quota:g} cores that the control group's CPU quota "
            "grants; they will be throttled, and their time stamps will be late"
        ]
    return []


def _how_to_fit(needs: Needs, free: int) -> str:
    most = (free - needs.procs * WORKER_BYTES) // needs.stream_bytes
    if most < needs.procs or not needs.all_used:
        return "use fewer --procs"
    if needs.flag == "--stage":
        return f"use at most {most:,} streams"
    if needs.flag == "--streams":
        return f"use at most --streams {most // needs.procs}, or fewer --procs"
    return f"use at most {needs.flag} {most}"


def _with_streams(n: int) -> str:
    return f" with {_number(n, 'stream')}" if n else ""


def _number(n: int, noun: str, plural: str = "s") -> str:
    return f"{n:,} {noun}{'' if n == 1 else plural}"


def _size(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.0f} MB"


def most_streams() -> int:
    """Most streams of one process, by the limit of open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if hard == resource.RLIM_INFINITY else max(1, hard - SPARE_FILES)


def check_machine(options: Options, target: Target, networks: list[Network], addresses: list[str]) -> list[str]:
    """Check the resources of this machine, and raise the soft limit of open files to the hard one; child processes
    inherit it. Returns warnings.

    Raises:
        CouldNotStart: a resource does not suffice.
    """
    needs, machine = needs_of(options, target, networks, addresses), read_machine()
    if message := shortage(needs, machine):
        raise CouldNotStart(message)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return warnings_of(needs, machine)
