"""What llmstress costs per token event, as a multiple of a bare C client, and how true its figures are.

Each pair runs, one after the other and each against a fresh mock server:
  the floor client (floor.c), llmstress for a short time, llmstress for a long time.
llmstress's cost is the difference of CPU of the two runs over the difference of their events, so that start-up falls
out; it covers coordinator and workers. The mock tells the truth that the figures are held against.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import common

CAVEATS = """\
Before you believe a number from this machine:
  - Absolute times drift by half from minute to minute on shared machines. Only ratios within a pair mean something.
  - Client and server share the cores: on 2 of them either may starve the other, and then both are late.
  - The floor client knows nothing of what it reads. A ratio of 1 is not to be had, and would not be worth having.
  - If llmstress's verdict below is not "valid", its figures say so for a reason; take fewer streams.
"""


def main() -> None:
    """Measure, print the pairs and their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000, help="open streams (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="how often to measure (default: %(default)s)")
    parser.add_argument("--short", type=int, default=5, help="seconds of the short run (default: %(default)s)")
    parser.add_argument("--long", type=int, default=15, help="seconds of the long run (default: %(default)s)")
    parser.add_argument("--gap", default="50", help="ms between tokens (default: %(default)s)")
    asked = parser.parse_args()
    print(CAVEATS)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{asked.streams} streams, one worker, {asked.gap} ms ± 20 % between tokens, 64 tokens an answer\n")
    with tempfile.TemporaryDirectory() as directory:
        floor = Path(directory, "floor")
        subprocess.run(["cc", "-O2", "-o", str(floor), str(Path(__file__).with_name("floor.c"))], check=True)
        ratios = [pair(asked, floor) for _ in range(asked.pairs)]
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


def pair(asked: argparse.Namespace, floor: Path) -> float:
    """One measurement of everything; prints it, gives the ratio of the costs."""
    with common.mock("--gap-ms", asked.gap, "--tokens", "64") as target:
        port = target.url.rpartition(":")[2]
        done = subprocess.run(
            [str(floor), port, str(asked.streams), str(asked.short)], check=True, capture_output=True, text=True
        )
    bare = json.loads(done.stdout)
    bare_us = bare["cpu_s"] / bare["events"] * 1e6
    short, _ = run(asked, asked.short)
    long, truth = run(asked, asked.long)
    cpu_s = long["client"]["cpu_s"] - short["client"]["cpu_s"]
    events = long["tokens"]["events"] - short["tokens"]["events"]
    if events <= 0:
        sys.exit("the long run had no more events than the short one: an answer takes 64 gaps, let --long be longer")
    ours_us = cpu_s / events * 1e6
    start_up_s = short["client"]["cpu_s"] - ours_us * short["tokens"]["events"] / 1e6
    said, sent = long["latency_ms"]["ttft"], truth["ttft_ms"]
    print(
        f"floor {bare_us:.2f} µs/event, llmstress {ours_us:.2f}, ratio {ours_us / bare_us:.2f}; "
        f"start-up {start_up_s:.1f} s CPU; verdict {long['verdict']['status']}; "
        f"TTFT p50 {said['p50']} (truth {sent['p50']}), p99 {said['p99']} (truth {sent['p99']}) ms; "
        f"requests {long['requests']['ok']} of {truth['done']}, tokens {long['tokens']['output']} of {truth['tokens']}",
        flush=True,
    )
    return float(ours_us / bare_us)


def run(asked: argparse.Namespace, seconds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """llmstress for `seconds` against a fresh mock: its summary, and the truth."""
    load = ("--procs", "1", "--streams", str(asked.streams), "--warmup", "2s", "--duration", f"{seconds}s")
    with common.mock("--gap-ms", asked.gap, "--tokens", "64") as target:
        with common.llmstress(target.url, *load) as running:
            summary = running.summary()
        return summary, target.stop()


if __name__ == "__main__":
    main()
