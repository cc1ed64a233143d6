"""What varied traffic costs: mixes of tasks, made prompts and prompts from a file, against one fixed prompt of 1 KB.

Each round runs every kind once, against a fresh mock server, and then the fixed prompt once more; the base of a round
is the mean of its two runs with the fixed prompt, so that a machine that drifts does not decide. The cost is the CPU
time of the worker in the steady window, per request and per token event.

Requests arrive at a fixed rate and last so long that the given number is in flight.
"""

import argparse
import json
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

WORDS = "one two three four five six seven eight nine ten "
PROMPT = (WORDS * 25)[:1000]
TOKENS = 64

MIX = "".join(
    f'[[task]]\nname = "{name}"\nweight = {weight}\nprompt = "{PROMPT}"\n'
    for name, weight in (("a", 6), ("b", 3), ("c", 1))
)


def main() -> None:
    """Measure, print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=4000, help="requests in flight (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=500, help="requests per second (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often to measure (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="steady window (default: %(default)s)")
    asked = parser.parse_args()
    print(f"{platform.platform()}, Python {platform.python_version()}")
    print(
        f"{asked.rate} requests/s, {asked.streams} in flight, one worker, {TOKENS} tokens an answer, bodies of 1 KB\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        kinds = _kinds(Path(directory))
        fixed = kinds.pop("fixed")
        ratios: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(asked.rounds):
            before = _measure("fixed", fixed, asked)
            found = {name: _measure(name, flags, asked) for name, flags in kinds.items()}
            base = statistics.mean([before, _measure("fixed", fixed, asked)])
            for name, cost in found.items():
                ratios[name].append(cost / base)
            print("   ".join(f"{name} {cost / base:.3f}" for name, cost in found.items()) + "\n", flush=True)
    for name, each in ratios.items():
        print(
            f"{name:<8} median {statistics.median(each):.3f} ({min(each):.3f}-{max(each):.3f}) times the fixed prompt"
        )


def _kinds(directory: Path) -> dict[str, Sequence[str]]:
    mix, rows = directory / "mix.toml", directory / "prompts.jsonl"
    mix.write_text(MIX)
    rows.write_text("".join(json.dumps({"prompt": f"{number} {PROMPT}"[:1000]}) + "\n" for number in range(20_000)))
    return {
        "fixed": ("--prompt", PROMPT),
        "mix": ("--config", str(mix)),
        "made": ("--prompt-tokens", "200"),
        "file": ("--prompts", str(rows), "--order", "shuffled"),
    }


def _measure(name: str, flags: Sequence[str], asked: argparse.Namespace) -> float:
    """CPU time (µs) of a request."""
    gap_ms = 1000 * asked.streams / asked.rate / TOKENS
    settle_s = round(asked.streams / asked.rate) + 2
    arrivals = ("--rate", f"{asked.rate}/s", "--arrival", "constant")
    load = ("--procs", "1", "--total-streams", str(2 * asked.streams), *arrivals)
    phases = ("--warmup", f"{settle_s}s", "--duration", f"{asked.seconds}s", "--grace", "1s")
    answer = ("--max-tokens", str(TOKENS), "--token-bands", "off")
    with (
        common.mock("--gap-ms", f"{gap_ms:.1f}", "--ttft-ms", f"{gap_ms:.1f}", "--tokens", str(TOKENS)) as target,
        common.llmstress(target.url, *load, *phases, *answer, *flags) as running,
    ):
        summary: dict[str, Any] = running.summary()
    client, tokens = summary["client"], summary["tokens"]
    per_event = float(client["cpu_us_per_event"])
    per_request = per_event * float(tokens["events_per_s"]) / float(asked.rate)
    requests, verdict = summary["requests"], summary["verdict"]["status"]
    counted = f"{requests['started']:,} started, {requests['failed']} failed, verdict {verdict}"
    print(f"{name:<6} {per_event:6.2f} µs/event {per_request:7.1f} µs/request; {counted}", flush=True)
    return per_request


if __name__ == "__main__":
    main()
