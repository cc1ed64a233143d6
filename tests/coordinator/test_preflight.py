"""Resources: the limits that the kernel reports, what a run needs, and the message if that does not suffice."""

import asyncio
import os
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers.processes import DEADLINE_S, Run, llmstress

from llmstress.coordinator.config.errors import CouldNotStart
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import parse_target
from llmstress.coordinator.host.machine import Headroom, Machine, available_cores, cpu_quota, local_ports, read_machine
from llmstress.coordinator.host.preflight import Needs, needs_of, shortage, warnings_of
from llmstress.coordinator.target import network
from llmstress.coordinator.target.network import with_sources
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.control import Network

GB = 10**9


class Kernel:
    """A directory with the files in which a kernel reports its limits."""

    def __init__(self, root: Path) -> None:
        self.proc, self.groups = root / "proc", root / "cgroup"

    def write(self, path: str, text: str) -> "Kernel":
        file = self.proc.parent / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return self

    def machine(self) -> Machine:
        return read_machine(self.proc, self.groups)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_a_machine_that_says_nothing_has_no_limits(kernel: Kernel) -> None:
    machine = kernel.machine()
    assert (machine.ports, machine.memory, machine.quota) == (28_232, None, None)
    assert available_cores(kernel.proc, kernel.groups) == len(os.sched_getaffinity(0))


def test_this_machine_can_be_read() -> None:
    machine = read_machine()
    assert machine.ports > 0
    assert machine.memory is not None
    assert machine.memory.amount > 0


@pytest.mark.parametrize(
    ("bounds", "reserved", "ports"),
    [
        ("32768\t60999\n", "\n", 28_232),
        ("1024 65535", "", 64_512),
        ("1000\t1009", "1001,1003-1005,2000,900-1000", 5),
        ("1000 1009", "0-65535", 0),
        ("nonsense", "nonsense", 28_232),
    ],
)
def test_ports_are_those_that_are_given_out(kernel: Kernel, bounds: str, reserved: str, ports: int) -> None:
    kernel.write("proc/sys/net/ipv4/ip_local_port_range", bounds)
    kernel.write("proc/sys/net/ipv4/ip_local_reserved_ports", reserved)
    assert local_ports(kernel.proc) == ports


def test_the_tightest_group_counts_and_files_that_were_read_don_t(kernel: Kernel) -> None:
    kernel.write("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:   16000000 kB\n")
    kernel.write("proc/self/cgroup", "0::/outer/inner\n")
    kernel.write("cgroup/outer/inner/memory.max", "max\n").write("cgroup/outer/inner/memory.current", "5\n")
    assert kernel.machine().memory == Headroom(16_000_000 * 1024, "this machine's memory")
    kernel.write("cgroup/outer/memory.max", f"{2 * GB}\n").write("cgroup/outer/memory.current", f"{GB}\n")
    assert kernel.machine().memory == Headroom(GB, "the control group's memory.max")
    kernel.write("cgroup/outer/memory.stat", f"anon 5\ninactive_file {GB // 2}\n")
    assert kernel.machine().memory == Headroom(GB * 3 // 2, "the control group's memory.max")
    kernel.write("cgroup/outer/pids.max", "100\n").write("cgroup/outer/pids.current", "90\n")
    assert kernel.machine().tasks == Headroom(10, "the control group's pids.max")


def test_groups_of_the_old_kind_are_read_too(kernel: Kernel) -> None:
    kernel.write(
        "proc/self/cgroup", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n2:pids:/docker/x\n1:name=systemd:/\n"
    )
    # as in a container, whose own group is mounted as the root
    kernel.write("cgroup/memory/memory.limit_in_bytes", f"{GB}\n").write("cgroup/memory/memory.usage_in_bytes", "0\n")
    kernel.write("cgroup/cpu/cpu.cfs_quota_us", "150000\n").write("cgroup/cpu/cpu.cfs_period_us", "100000\n")
    kernel.write("cgroup/pids/docker/x/pids.max", "7").write("cgroup/pids/docker/x/pids.current", "9")
    machine = kernel.machine()
    assert machine.memory == Headroom(GB, "the control group's memory.limit_in_bytes")
    assert machine.tasks == Headroom(0, "the control group's pids.max")
    assert machine.quota == 1.5
    kernel.write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    kernel.write("cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert (kernel.machine().memory, kernel.machine().quota) == (None, None)


@pytest.mark.parametrize(
    ("limit", "quota", "whole"),
    [
        ("max 100000", None, None),
        ("50000 100000", 0.5, 1),
        ("100000 100000", 1.0, 1),
        ("190000 100000", 1.9, 1),
        ("350000 100000", 3.5, 3),
    ],
)
def test_cores_are_not_more_than_the_quota(kernel: Kernel, limit: str, quota: float | None, whole: int | None) -> None:
    kernel.write("proc/self/cgroup", "0::/").write("cgroup/cpu.max", limit)
    assert cpu_quota(kernel.proc, kernel.groups) == quota
    mine = len(os.sched_getaffinity(0))
    assert available_cores(kernel.proc, kernel.groups) == (mine if whole is None else min(mine, whole))


AMPLE = Machine(
    files=1_000_000, ports=28_232, memory=Headroom(64 * GB, "this machine's memory"), tasks=None, quota=None
)
SMALL = Needs(procs=2, streams=100, total=200, flag="--streams", tls=False, pairs=1)


def change(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


@pytest.mark.parametrize(
    ("needs", "machine", "words"),
    [
        ({}, {}, ""),
        ({"streams": 936}, {"files": 1000}, ""),
        ({"streams": 937}, {"files": 1000}, "937 streams per process (--streams) need 1,001 open files"),
        ({"streams": 10**9}, {"files": None}, ""),
        ({"total": 28_232}, {}, ""),
        ({"total": 28_233}, {}, "28,233 streams (--streams) need as many local ports, but there are 28,232"),
        ({"total": 28_233, "pairs": 2}, {}, ""),
        ({"total": 28_233, "pairs": None}, {}, ""),
        ({"total": 1_000, "pairs": 1, "flag": "--total-streams"}, {"ports": 999}, "1,000 streams (--total-streams)"),
        ({}, {"memory": Headroom(95_000_000, "X")}, ""),
        ({}, {"memory": Headroom(90_000_000, "X")}, "but X leaves 90 MB: use fewer --procs"),
        (
            {"total": 10_000, "tls": True},
            {"memory": Headroom(500_000_000, "X")},
            "2 processes with 10,000 streams need about 868 MB, but X leaves 500 MB: use at most --streams 2634",
        ),
        (
            {"total": 10_000, "tls": True, "flag": "--total-streams"},
            {"memory": Headroom(500_000_000, "X")},
            "use at most --total-streams 5268",
        ),
        (
            {"total": 10_000, "tls": True, "flag": "--stage"},
            {"memory": Headroom(500_000_000, "X")},
            "use at most 5,268 streams",
        ),
        ({"total": 10_000, "tls": True, "all_used": False}, {"memory": Headroom(95_000_000, "X")}, ""),
        (
            {"total": 10_000, "all_used": False},
            {"memory": Headroom(80_000_000, "X")},
            "2 processes need about 90 MB, but X leaves 80 MB: use fewer --procs",
        ),
        ({}, {"tasks": Headroom(8, "X")}, ""),
        ({}, {"tasks": Headroom(7, "X")}, "2 processes (--procs) need 8 threads, but X leaves 7: use fewer --procs"),
    ],
)
def test_what_does_not_suffice_is_said_with_a_way_out(
    needs: dict[str, Any], machine: dict[str, Any], words: str
) -> None:
    said = shortage(change(SMALL, **needs), change(AMPLE, **machine))
    assert words in said
    assert bool(words) == bool(said)


@pytest.mark.parametrize(("quota", "doubtful"), [(None, False), (2.0, False), (1.5, True), (0.5, True)])
def test_more_processes_than_the_quota_are_allowed_with_a_warning(quota: float | None, doubtful: bool) -> None:
    said = warnings_of(SMALL, change(AMPLE, quota=quota))
    assert ["--procs" in line and f"{quota:g}" in line for line in said] == ([True] if doubtful else [])
    assert warnings_of(change(SMALL, procs=1), change(AMPLE, quota=0.5)) == []


@pytest.mark.parametrize(
    ("url", "given", "addresses", "pairs"),
    [
        pytest.param("http://h", {}, ["192.0.2.1"], 1, id="one address"),
        pytest.param("http://h", {}, ["192.0.2.1", "192.0.2.2", "2001:db8::1"], 3, id="an address each"),
        pytest.param("http://h", {"source_ips": ("192.0.2.7", "192.0.2.8")}, ["192.0.2.1", "::2"], 2, id="two sources"),
        pytest.param("http://h", {"source_ips": ("192.0.2.7",) * 2}, ["192.0.2.1"], 1, id="one source named twice"),
        pytest.param("http://h", {"source_ips": ("127.0.0.9",)}, ["127.0.0.1"], 1, id="a loopback address is named"),
        pytest.param("http://h", {}, ["127.0.0.1"], None, id="loopback has addresses enough"),
        pytest.param("http://h", {}, ["127.0.0.1", "::1"], None, id="and its IPv6 beside it"),
        pytest.param("http://h", {}, ["::1"], 1, id="its IPv6 has but one"),
        pytest.param("http://h", {}, ["127.0.0.1", "192.0.2.1"], 2, id="loopback and a network"),
        pytest.param("http://h", {}, [], None, id="nobody knows"),
    ],
)
def test_ports_are_counted_by_pairs_of_addresses(
    url: str, given: dict[str, Any], addresses: list[str], pairs: int | None
) -> None:
    options = Options(procs=2, prompt="p", streams=20_000, **given)
    networks = with_sources(Network(sources=list(options.source_ips)), addresses, options.shares, 28_232)
    needs = needs_of(options, parse_target(url, OpenAIChat(Ask())), networks, addresses)
    assert needs == Needs(procs=2, streams=20_000, total=40_000, flag="--streams", tls=False, pairs=pairs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--total-streams", "5000"), "--total-streams"),
        (("--streams", "2000", "--procs", "1"), "use at most 192 per process with more --procs"),
    ],
)
def test_too_few_descriptors_are_said_before_anything_starts(arguments: tuple[str, ...], words: str) -> None:
    run = Run("--url", "http://127.0.0.1:9", "--model", "m", "--procs", "2", *arguments, nofile=256)
    code, summary, said = run.finish()
    assert (code, summary, said.count("\n")) == (3, {}, 1)
    assert words in said


def test_as_many_processes_are_taken_as_descriptors_demand() -> None:
    run = Run("--url", "http://127.0.0.1:9", "--model", "m", "--total-streams", "500", nofile=256)
    code, _, said = run.finish()
    assert (code, said.count("\n")) == (3, 1)
    assert "can't be reached" in said, "and not too few files"


def test_one_address_of_ipv6_loopback_has_no_ports_for_all() -> None:
    code, _, said = llmstress("--url", "http://[::1]:9", "--model", "m", "--procs", "50", "--total-streams", "70000")
    assert (code, said.count("\n")) == (3, 1)
    assert "--source-ip" in said


def test_dns_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = threading.Event()

    def ask(*_: object, **__: object) -> list[Any]:
        silent.wait(DEADLINE_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    monkeypatch.setattr(network, "DNS_LIMIT_S", 0.05)
    with pytest.raises(CouldNotStart, match=r"DNS did not resolve h within 0.05 s; set its address with --resolve"):
        asyncio.run(network.resolve(Network(), parse_target("http://h", OpenAIChat(Ask()))))
    silent.set()  # the thread answers after the loop has been closed


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_dns_does_not_know_has_no_addresses(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def ask(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    target = parse_target("http://h", OpenAIChat(Ask()))
    assert asyncio.run(network.resolve(Network(), target)) == []
    assert asyncio.run(network.resolve(Network(addresses=["192.0.2.1"]), target)) == ["192.0.2.1"]
    assert asyncio.run(network.resolve(Network(unix_socket="/s"), target)) == []
