"""Whether requests arrive at a server when they should: the open model, measured at the server.

Each row is a run at one rate against a server that only notes when each request comes. The schedule is computed here
once more, from the same seed, so each request has a time at which it should have come. T0 of the run is not known to
the server: it is taken from the request that came earliest against the schedule. What remains is how much later than
that request each other one came: the unevenness of client and kernel together.

The floor is a client that does nothing else: it waits for each request in a busy loop, and sends it with one system
call on a connection that is open already. The kernel needs some 10 µs for each, so no client has shorter gaps.
"""

import argparse
import itertools
import math
import os
import platform
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common

from llmstress.engine.arrivals import amounts
from llmstress.engine.telemetry.load_profile import constant, stamps

CAVEATS = """\
Before you believe a number from this machine:
  - Client and server share the cores: on a busy machine the unevenness is that of the machine.
  - `due` must be what the schedule says, and `received` what llmstress says that it started, to the unit. The rest
    says how well the machine kept the time.
"""

ROWS = [
    *(("constant", 1.0, rate) for rate in (50, 500, 2_000)),
    *(("poisson", 1.0, rate) for rate in (50, 500, 2_000)),
    *(("gamma", 0.5, rate) for rate in (50, 500, 2_000)),
]


class Row(NamedTuple):
    """One run. Times in milliseconds."""

    scheduled: int
    """Requests that the schedule has."""
    started: int
    """Requests that llmstress says that it started."""
    received: int
    """Requests that the server received."""
    rate_error: float
    """Relative error of the rate between the first and the last request, against the schedule of the two."""
    late_p50: float
    late_p99: float
    late_max: float
    gap_error_sd: float
    """Standard deviation of (gap at the server - gap of the schedule)."""
    ks: float
    """Kolmogorov-Smirnov distance of the gaps at the server from those of the schedule × √(n/2): two samples of one
    distribution exceed 1.63 once in a hundred times. Not for constant arrivals: their gaps have no distribution."""
    floor_ks: float
    """The same of the floor."""
    slip_p99: float
    """Of llmstress's own `queue`."""
    opened_late: int
    """Requests that had to open a connection themselves."""
    verdict: str


def main() -> None:
    """Measure each row and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10, help="length of a run (default: %(default)s)")
    parser.add_argument("--procs", default="1,2,4", help="numbers of processes (default: %(default)s)")
    parser.add_argument("--ttft-ms", type=float, default=50, help="time of an answer (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the arrivals (default: %(default)s)")
    asked = parser.parse_args()
    print(CAVEATS)
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; {asked.seconds} s each\n")
    print(
        f"{'arrival':<10}{'rate/s':>7}{'procs':>6}{'due':>8}{'started':>8}{'received':>9}{'rate error':>11}"
        f"{'late p50':>10}{'p99':>8}{'max':>8}{'gap sd':>8}{'KS':>6}{'floor':>6}{'slip p99':>9}{'connects':>9}  verdict"
    )
    wrong = False
    for (arrival, burstiness, rate), procs in itertools.product(ROWS, map(int, asked.procs.split(","))):
        row = measure(arrival, burstiness, rate, procs, asked)
        name = f"{arrival} {burstiness:g}" if arrival == "gamma" else arrival
        ks, floor = ("–", "–") if arrival == "constant" else (f"{row.ks:.2f}", f"{row.floor_ks:.2f}")
        print(
            f"{name:<10}{rate:>7}{procs:>6}{row.scheduled:>8}{row.started:>8}{row.received:>9}{row.rate_error:>11.3%}"
            f"{row.late_p50:>8.2f}ms{row.late_p99:>8.2f}{row.late_max:>8.2f}{row.gap_error_sd:>8.2f}{ks:>6}{floor:>6}"
            f"{row.slip_p99:>9.2f}{row.opened_late:>9}  {row.verdict}",
            flush=True,
        )
        wrong = wrong or not row.scheduled == row.started == row.received or abs(row.rate_error) > 0.005
    if wrong:
        sys.exit("a row has another number of requests than its schedule, or a rate that is off by more than 0.5 %")


def measure(arrival: str, burstiness: float, rate: float, procs: int, asked: argparse.Namespace) -> Row:
    """One run."""
    schedule = list(
        itertools.takewhile(
            lambda t: t < asked.seconds * 1e9,
            stamps(constant("requests", rate), amounts(arrival, burstiness, asked.seed)),
        )
    )
    server = f"{sys.executable} {Path(__file__).with_name('arrivals_server.py')} {{port}} {asked.ttft_ms:g}"
    options = ["--rate", f"{rate:g}/s", "--arrival", arrival, "--procs", str(procs), "--seed", str(asked.seed)]
    if arrival == "gamma":
        options += ["--burstiness", f"{burstiness:g}"]
    with common.other(server) as target:
        send_bare(schedule, target.url)
        floor = sorted(list_of(target.stop()))
    with common.other(server) as target:
        with common.llmstress(target.url, *options, "--duration", f"{asked.seconds}s", "--no-probe") as run:
            summary = run.summary()
        received = sorted(list_of(target.stop()))
    return compare(schedule, received, floor, summary)


def list_of(truth: Any) -> list[int]:
    """The stamps that the server prints."""
    return [int(stamp) for stamp in truth]


def compare(schedule: Sequence[int], received: Sequence[int], floor: Sequence[int], summary: dict[str, Any]) -> Row:
    """What the server saw against what it should have seen."""
    common_length = min(len(schedule), len(received))
    planned, seen = schedule[:common_length], received[:common_length]
    offsets = [stamp - due for stamp, due in zip(seen, planned, strict=True)]
    late = sorted((offset - min(offsets)) / 1e6 for offset in offsets)
    gaps = [(b - a) / 1e6 for a, b in itertools.pairwise(seen)]
    planned_gaps = [(b - a) / 1e6 for a, b in itertools.pairwise(planned)]
    queue = summary["latency_ms"]["queue"]
    return Row(
        scheduled=len(schedule),
        started=summary["requests"]["started"],
        received=len(received),
        rate_error=(planned[-1] - planned[0]) / (seen[-1] - seen[0]) - 1,
        late_p50=late[len(late) // 2],
        late_p99=late[len(late) * 99 // 100],
        late_max=late[-1],
        gap_error_sd=statistics.pstdev(gap - plan for gap, plan in zip(gaps, planned_gaps, strict=True)),
        ks=ks_of_gaps(seen, planned),
        floor_ks=ks_of_gaps(floor, schedule),
        slip_p99=queue["p99"] or queue["max"] or 0.0,
        opened_late=summary["latency_ms"]["connect"]["count"],
        verdict=summary["verdict"]["status"],
    )


BARE_CONNECTIONS = 400
"""Connections of the floor. Each waits for its answer before its next request."""


def send_bare(schedule: Sequence[int], url: str) -> None:
    """Send a request at each time of the schedule: the floor."""
    host, port = url.removeprefix("http://").split(":")
    connections = [socket.create_connection((host, int(port))) for _ in range(BARE_CONNECTIONS)]
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    t0 = time.monotonic_ns() + 100_000_000
    for after, connection in zip(schedule, itertools.cycle(connections)):
        while time.monotonic_ns() < t0 + after:
            pass
        connection.send(request)
    time.sleep(1)  # the server has read all of them by then
    for connection in connections:
        connection.close()


def ks_of_gaps(stamps: Sequence[int], planned: Sequence[int]) -> float:
    """The Kolmogorov-Smirnov distance of the gaps, times √(n/2)."""
    gaps, planned_gaps = ([b - a for a, b in itertools.pairwise(each)] for each in (stamps, planned))
    return two_sample_ks(gaps, planned_gaps) * math.sqrt(len(gaps) / 2)


def two_sample_ks(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest distance of two empirical distributions."""
    left, right = sorted(a), sorted(b)
    i = j = 0
    distance = 0.0
    while i < len(left) and j < len(right):
        value = min(left[i], right[j])
        while i < len(left) and left[i] <= value:
            i += 1
        while j < len(right) and right[j] <= value:
            j += 1
        distance = max(distance, abs(i / len(left) - j / len(right)))
    return distance


if __name__ == "__main__":
    main()
