"""What each API costs the client: CPU per token event, or per request where nothing is streamed, beside openai-chat.

Every round runs all APIs one after the other against a fresh mock server with the same pace. The figure is the CPU time
of the worker in the steady window divided by its events (or requests); the ratio is to openai-chat in the same round.
A run whose tokens, finish reasons or requests differ from what the mock says it sent ends the benchmark.
"""

import argparse
import os
import platform
import statistics
import sys
from typing import Any, NamedTuple

import common

CAVEATS = """\
Before you believe a number from this machine:
  - Absolute times drift by half from minute to minute on shared machines. Read the ratios, and the rounds apart.
  - Client and server share the cores: if the verdict is not "valid", take fewer streams.
"""


class Kind(NamedTuple):
    """A way to use the mock."""

    api: str
    path: str = ""
    """Appended to the mock's URL."""
    options: tuple[str, ...] = ()


STREAMED = {
    "openai-chat": Kind("openai-chat"),
    "openai-completions": Kind("openai-completions"),
    "openai-responses": Kind("openai-responses"),
    "anthropic": Kind("anthropic"),
    "azure-openai": Kind("azure-openai"),
    "sse": Kind("sse", "/stream?prompt={prompt}"),
    "text": Kind("text", "/text", ("--body", '{"prompt": "{prompt}"}')),
}

WHOLE = {
    "openai-chat": Kind("openai-chat", options=("--no-stream",)),
    "openai-embeddings, floats": Kind("openai-embeddings", options=("--encoding", "float")),
    "openai-embeddings, base64": Kind("openai-embeddings", options=("--encoding", "base64")),
    "http": Kind("http", "/json"),
}


def main() -> None:
    """Measure in rounds, print each and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=800, help="open streams (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="length of a run's window (default: %(default)s)")
    parser.add_argument("--only", nargs="*", default=[], metavar="API", help="these, besides openai-chat")
    asked = parser.parse_args()
    print(CAVEATS)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{asked.streams} streams in one worker\n")
    compare("streamed, µs of CPU per token event", STREAMED, per_event, asked)
    compare("whole answers, µs of CPU per request", WHOLE, per_request, asked)


def compare(title: str, kinds: dict[str, Kind], cost: Any, asked: argparse.Namespace) -> None:
    """One table."""
    chosen = {name: kind for name, kind in kinds.items() if not asked.only or name in ("openai-chat", *asked.only)}
    found: dict[str, list[float]] = {name: [] for name in chosen}
    verdicts: dict[str, set[str]] = {name: set() for name in chosen}
    for number in range(asked.rounds):
        for name, kind in chosen.items():
            micros, verdict = cost(kind, asked)
            found[name].append(micros)
            verdicts[name].add(verdict)
        rates = "  ".join(f"{name} {values[number]:.2f}" for name, values in found.items())
        print(f"  round {number + 1}: {rates}", flush=True)
    print(f"\n{title:<40}{'median':>8}{'× chat':>8}   verdict")
    for name, values in found.items():
        ratio = statistics.median(value / chat for value, chat in zip(values, found["openai-chat"], strict=True))
        print(f"  {name:<38}{statistics.median(values):>8.2f}{ratio:>8.2f}   {', '.join(sorted(verdicts[name]))}")
    print(flush=True)


def per_event(kind: Kind, asked: argparse.Namespace) -> tuple[float, str]:
    """µs of the worker's CPU per token event, and the verdict."""
    options = ["--streams", str(asked.streams), "--warmup", "3s", "--duration", f"{asked.seconds}s"]
    summary = run(kind, ["--gap-ms", "20", "--tokens", "64"], options)
    return float(summary["client"]["cpu_us_per_event"]), summary["verdict"]["status"]


def per_request(kind: Kind, asked: argparse.Namespace) -> tuple[float, str]:
    """µs of CPU per request, coordinator included, and the verdict: many requests less few."""
    costs = {}
    for requests in (asked.streams, asked.streams * 2 * asked.seconds):
        paced = ["--ttft-ms", "50", "--gap-ms", "0", "--tokens", "8"]
        summary = run(kind, paced, ["--streams", str(asked.streams // 4), "--requests", str(requests)])
        costs[requests] = float(summary["client"]["cpu_s"]) * 1e6
    (few, low), (many, high) = costs.items()
    return (high - low) / (many - few), summary["verdict"]["status"]


def run(kind: Kind, server: list[str], client: list[str]) -> dict[str, Any]:
    """llmstress with one worker against a fresh mock: its summary, which agrees with what the mock says it sent."""
    with common.mock(*server) as target:
        options = ["--api", kind.api, "--procs", "1", *kind.options, *client]
        with common.llmstress(target.url + kind.path, *options) as running:
            summary = running.summary()
        truth = target.stop()
    if summary["requests"]["ok"] != truth["done"]:
        sys.exit(f"{kind.api}: {summary['requests']['ok']} requests here, {truth['done']} there: {summary['errors']}")
    events = summary["tokens"]["events"]
    # of bare text a read is an event, and two tokens may share one
    if events > truth["events"] or (events < truth["events"] and kind.api != "text"):
        sys.exit(f"{kind.api}: {events} token events here, {truth['events']} there")
    return summary


if __name__ == "__main__":
    main()
