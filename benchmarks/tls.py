"""What TLS costs the client: per token event, per connection that is opened, and in memory.

Every figure is a difference of two runs against a fresh mock server, so that start-up falls out; plain http and https
take turns. Events: a short and a long run with all streams. Connections: few and many requests of one token each, with
and without keep-alive; what remains is connecting. Memory: resident memory of the worker, many streams less few.
"""

import argparse
import os
import platform
import ssl
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import common
import trustme

CAVEATS = """\
Before you believe a number from this machine:
  - Absolute times drift by half from minute to minute on shared machines. The rows of one round belong together.
  - Client and server share the cores. The mock's own TLS is not in these figures, but it may starve the client: if the
    verdict of a round is not "valid", take fewer streams.
  - Each handshake is a full one (no session is resumed), as a client does that connects for the first time.
"""


class Costs(NamedTuple):
    """Of the client, coordinator included."""

    event_us: float
    """CPU per token event."""
    connect_us: float
    """CPU to open and close a connection, handshake included."""
    connection_kib: float
    """Resident memory of an open stream."""
    verdict: str


def main() -> None:
    """Measure in rounds, print each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=500, help="open streams (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="how often to measure (default: %(default)s)")
    parser.add_argument("--short", type=int, default=2, help="seconds of the short run (default: %(default)s)")
    parser.add_argument("--long", type=int, default=9, help="seconds of the long run (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=2000, help="requests of the many (default: %(default)s)")
    asked = parser.parse_args()
    print(CAVEATS)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {ssl.OPENSSL_VERSION}")
    print(f"{asked.streams} streams, one worker, 50 ms ± 20 % between tokens; ECDSA P-256, TLS 1.3\n")
    print(f"{'':<14}{'µs per event':>14}{'µs to connect':>15}{'KiB per stream':>16}   verdict")
    rounds: list[tuple[Costs, Costs]] = []
    with tempfile.TemporaryDirectory() as directory:
        server, client = certificates(Path(directory))
        for _ in range(asked.rounds):
            rounds.append((measure(asked, [], []), measure(asked, server, client)))
            show("plain http", rounds[-1][0])
            show("https", rounds[-1][1])
    plain, tls = (median([both[side] for both in rounds]) for side in (0, 1))
    print(
        f"\nmedians: TLS adds {tls.event_us - plain.event_us:.2f} µs to an event "
        f"({tls.event_us / plain.event_us:.2f} ×), {(tls.connect_us - plain.connect_us) / 1000:.2f} ms of CPU to a "
        f"connection, {tls.connection_kib - plain.connection_kib:.0f} KiB to a stream"
    )


def median(costs: list[Costs]) -> Costs:
    """Figure by figure."""
    events, connects, sizes, verdicts = zip(*costs, strict=True)
    return Costs(statistics.median(events), statistics.median(connects), statistics.median(sizes), verdicts[0])


def certificates(directory: Path) -> tuple[list[str], list[str]]:
    """Options that make the mock speak TLS, and llmstress trust it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(directory / "server")
    return ["--tls-cert", str(directory / "server")], ["--cacert", str(directory / "ca")]


def measure(asked: argparse.Namespace, server: list[str], client: list[str]) -> Costs:
    """One round of one kind."""

    def streaming(streams: int, seconds: int) -> dict[str, Any]:
        paced = ["--gap-ms", "50", "--tokens", "64", *server]
        return run(paced, ["--streams", str(streams), "--warmup", "2s", "--duration", f"{seconds}s", *client])

    short, long = streaming(asked.streams, asked.short), streaming(asked.streams, asked.long)
    few_streams = streaming(max(1, asked.streams // 10), asked.short)
    events = long["tokens"]["events"] - short["tokens"]["events"]
    if events <= 0:
        sys.exit("the long run had no more events than the short one: an answer takes 64 gaps, let --long be longer")

    def cpu_per_request(*keeping: str) -> float:
        quick = ["--ttft-ms", "1", "--tokens", "1", *server]
        few, many = (
            float(run(quick, ["--streams", "32", "--requests", str(requests), *keeping, *client])["client"]["cpu_s"])
            for requests in (asked.requests // 4, asked.requests)
        )
        return float((many - few) / (asked.requests - asked.requests // 4))

    return Costs(
        event_us=(long["client"]["cpu_s"] - short["client"]["cpu_s"]) / events * 1e6,
        connect_us=(cpu_per_request("--no-keepalive") - cpu_per_request()) * 1e6,
        connection_kib=(rss(short) - rss(few_streams)) * 1e6 / 1024 / (asked.streams - max(1, asked.streams // 10)),
        verdict=long["verdict"]["status"],
    )


def show(kind: str, costs: Costs) -> None:
    """One line of the table."""
    event, connect, kib, verdict = costs
    print(f"{kind:<14}{event:>14.2f}{connect:>15.0f}{kib:>16.1f}   {verdict}", flush=True)


def rss(summary: dict[str, Any]) -> float:
    """Resident memory of the worker, in MB."""
    return float(summary["client"]["workers"][0]["rss_mb"])


def run(server_options: list[str], client_options: list[str]) -> dict[str, Any]:
    """llmstress with one worker against a fresh mock: its summary, which agrees with what the mock says it sent."""
    with common.mock(*server_options) as target:
        with common.llmstress(target.url, "--procs", "1", *client_options) as running:
            summary = running.summary()
        truth = target.stop()
    if summary["requests"]["ok"] != truth["done"]:
        sys.exit(
            f"llmstress counts {summary['requests']['ok']} requests, the mock {truth['done']}: {summary['errors']}"
        )
    return summary


if __name__ == "__main__":
    main()
