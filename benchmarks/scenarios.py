"""What users in Python cost, against the engine with a fixed request: closed model, answers of 64 tokens.

Each round runs every kind once, against a fresh mock server, and the fixed request before and after them; the base is
the mean of its two runs. The cost is the CPU time of the whole worker in the steady window, per token event.
"""

import argparse
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

TOKENS = 64

HEAD = """
from llmstress.scenario import User, task


class Reader(User):
    @task
    async def ask(self):
"""

ASK = 'self.chat("What is a load test?", max_tokens=64)'

KINDS = {
    "await": f"        await {ASK}\n",
    "text": f"        answer = await {ASK}\n        answer.check(answer.text)\n",
    "async-for": f"        async for piece in {ASK}:\n            piece.text\n",
}


def main() -> None:
    """Measure, print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1000, help="streams (default: %(default)s)")
    parser.add_argument("--gap-ms", type=float, default=50.0, help="between two tokens (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="steady window (default: %(default)s)")
    asked = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}")
    print(f"{asked.users} users in one worker, {TOKENS} tokens an answer, {asked.gap_ms:g} ms apart\n")
    ratios: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(asked.rounds):
            before = _measure("fixed", ("--prompt", "What is a load test?"), asked)
            found = {}
            for name, code in KINDS.items():
                file = Path(directory) / f"{name}.py"
                file.write_text(HEAD + code)
                found[name] = _measure(name, ("--scenario", str(file)), asked)
            base = statistics.mean([before, _measure("fixed", ("--prompt", "What is a load test?"), asked)])
            for name, cost in found.items():
                ratios[name].append(cost / base)
            print("   ".join(f"{name} {cost / base:.3f}" for name, cost in found.items()) + "\n", flush=True)
    for name, each in ratios.items():
        print(f"{name:<10} median {statistics.median(each):.3f} ({min(each):.3f}-{max(each):.3f}) times the fixed one")


def _measure(name: str, flags: Sequence[str], asked: argparse.Namespace) -> float:
    """CPU time (µs) of a token event."""
    settle_s = round(TOKENS * asked.gap_ms / 1000) + 3
    load = ("--procs", "1", "--streams", str(asked.users), "--ramp-up", f"{settle_s}s")
    phases = ("--warmup", "2s", "--duration", f"{asked.seconds}s", "--grace", "1s", "--max-tokens", str(TOKENS))
    with (
        common.mock("--gap-ms", f"{asked.gap_ms:g}", "--ttft-ms", "200", "--tokens", str(TOKENS)) as target,
        common.llmstress(target.url, *load, *phases, *flags) as running,
    ):
        summary: dict[str, Any] = running.summary()
    client, ttft = summary["client"], summary["latency_ms"]["ttft"]
    cost = float(client["cpu_us_per_event"])
    requests, rss = summary["requests"], client["workers"][0]["rss_mb"]
    print(
        f"{name:<10} {cost:6.2f} µs/event; {requests['ok']:,} ok, {requests['failed']} failed, ttft p50 {ttft['p50']} "
        f"p99 {ttft['p99']} ms, {rss} MB, verdict {summary['verdict']['status']}",
        flush=True,
    )
    return cost


if __name__ == "__main__":
    main()
