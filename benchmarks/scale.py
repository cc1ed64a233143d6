"""How many streams one machine holds open at once, and what each costs in memory.

Every stream sends one request whose answer takes 40 s, so that all are open together. It fails if one is missing at
the server, if anything failed, or if requests or tokens don't agree to the unit.
"""

import argparse
import subprocess
import sys
import time

import common

TOKENS = 20


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--procs", type=int, default=16, help="worker processes (default: %(default)s)")
    parser.add_argument("--streams", type=int, default=4000, help="streams of each (default: %(default)s)")
    parser.add_argument("--target-procs", type=int, default=6, help="processes of the mock (default: %(default)s)")
    parser.add_argument("--target", metavar="COMMAND", help="another server, with {port} in its command")
    asked = parser.parse_args()
    total = asked.procs * asked.streams
    delays = ("--ttft-ms", "2000", "--gap-ms", "2000", "--tokens", str(TOKENS), "--procs", str(asked.target_procs))
    before, sockets = common.tcp_counters(), common.tcp_sockets()
    with common.other(asked.target) if asked.target else common.mock(*delays) as target:
        load = ("--procs", str(asked.procs), "--streams", str(asked.streams), "--requests", str(total))
        with common.llmstress(target.url, *load) as run:
            peaks, connected_s = watch(run.process, sockets + 2 * total)
            summary = run.summary()
        truth = target.stop()
    counted = {name: after - before[name] for name, after in common.tcp_counters().items()}
    memory_kib = sum(peaks.values())
    after_t0_s = connected_s - summary["client"]["startup_s"]
    ok, ttft = summary["requests"]["ok"], summary["latency_ms"]["ttft"]["p50"]
    print(f"{total:,} streams: at most {truth['open_max']:,} open at once at the server")
    print(f"all connected {after_t0_s:.1f} s after T0, {connected_s:.1f} s after the command")
    print(f"workers' memory {memory_kib / 1024:.0f} MiB, {memory_kib / total:.1f} KiB a stream, the processes included")
    print(f"requests {ok:,} of {truth['requests']:,}, errors {summary['errors'] or 'none'}")
    print(f"tokens {summary['tokens']['output']:,} of {truth['tokens']:,}")
    print(f"TTFT p50 {ttft} ms, at the server {truth.get('ttft_p50_ms', truth.get('ttft_ms'))}")
    print(f"kernel: {counted}")
    print(f"verdict {summary['verdict']}")
    agree = (
        truth["open_max"] == summary["requests"]["ok"] == truth["requests"] == total
        and summary["tokens"]["output"] == truth["tokens"] == total * TOKENS
        and not summary["errors"]
    )
    sys.exit(0 if agree else "they do not agree")


def watch(run: "subprocess.Popen[str]", sockets: int) -> tuple[dict[int, int], float]:
    """Wait for the end of a run.

    Gives each worker's most resident memory in KiB, and the seconds until this machine had `sockets` TCP sockets.
    """
    begin, connected_s = time.monotonic(), 0.0
    peaks: dict[int, int] = {}
    while run.poll() is None:
        try:
            workers = common.workers_of(run.pid)
            peaks |= {pid: max(peaks.get(pid, 0), common.resident_kib(pid)) for pid in workers}
            if not connected_s and common.tcp_sockets() >= sockets:
                connected_s = time.monotonic() - begin
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            pass  # one of them ended just now
        time.sleep(0.25)
    return peaks, connected_s


if __name__ == "__main__":
    main()
