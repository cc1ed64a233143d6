"""A long run at a steady rate: does memory grow, does the timeline, do the percentiles stay those of the server?"""

import argparse
import statistics
import subprocess
import sys
import time

import common

SETTLED_S = 60
"""What the first minute takes (ramp, first answers, tables that fill) is no growth."""


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="length of the run (default: %(default)s)")
    parser.add_argument("--procs", type=int, default=1, help="worker processes (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=2000, help="streams in all (default: %(default)s)")
    parser.add_argument("--gap", default="31", help="ms between tokens (default: %(default)s)")
    parser.add_argument("--target", metavar="COMMAND", help="another server, with {port} in its command")
    asked = parser.parse_args()
    delays = ("--ttft-ms", "200", "--gap-ms", asked.gap, "--tokens", "64")
    load = ("--procs", str(asked.procs), "--total-streams", str(asked.streams), "--warmup", "5s")
    with common.other(asked.target) if asked.target else common.mock(*delays) as target:
        with common.llmstress(target.url, *load, "--duration", f"{asked.minutes * 60:.0f}s") as run:
            samples = watch(run.process)
            summary = run.summary()
        truth = target.stop()
    for worker, taken in enumerate(samples.values()):
        steady = [(at, kib) for at, kib in taken if at > SETTLED_S]
        slope = statistics.linear_regression(*zip(*steady, strict=True)).slope * 60 / 1024 if len(steady) > 2 else 0.0
        minutes = {int(at // 60): kib for at, kib in taken}
        print(f"worker {worker}: {' '.join(f'{kib / 1024:.1f}' for kib in minutes.values())} MiB minute by minute")
        print(f"worker {worker}: growing by {slope:.3f} MiB a minute after the first")
    rows = len(summary["timeline"])
    tokens, events_per_s = summary["tokens"], summary["tokens"]["events_per_s"]
    print(f"{events_per_s:,.0f} events/s; timeline of {rows} rows, one every {summary['timeline_step_s']} s")
    print(f"requests {summary['requests']['ok']:,} of {truth['done']:,}")
    print(f"tokens {tokens['output']:,} of {truth['tokens']:,}")
    for name, metric in (("ttft", "ttft"), ("gap", "itl")):
        sent = truth.get(f"{name}_ms") or {key: truth[f"{name}_{key}_ms"] for key in ("p50", "p99")}
        said = summary["latency_ms"][metric]
        print(f"{metric}: p50 {said['p50']} (at the server {sent['p50']}), p99 {said['p99']} ({sent['p99']}) ms")
    print(f"verdict {summary['verdict']}")


def watch(run: "subprocess.Popen[str]") -> dict[int, list[tuple[float, int]]]:
    """Wait for the end of a run; resident memory in KiB of each worker, with the second at which it was that."""
    begin = time.monotonic()
    samples: dict[int, list[tuple[float, int]]] = {}
    while run.poll() is None:
        try:
            for pid in common.workers_of(run.pid):
                samples.setdefault(pid, []).append((time.monotonic() - begin, common.resident_kib(pid)))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            pass  # one of them ended just now
        time.sleep(2)
    if not samples:
        sys.exit(f"it ended at once, with exit code {run.returncode}")
    return samples


if __name__ == "__main__":
    main()
