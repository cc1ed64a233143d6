"""Options -> one plan per worker: exact shares, and the request that all of them send."""

import itertools
import math

from llmstress.coordinator.config.options import MOST_PROCS, Options
from llmstress.coordinator.target.resolved import Approach
from llmstress.engine import schedule
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Network, Plan, Timeouts

DIALS, LEAST_DIALS = 256, 4
"""Connections that may be being opened at once, by all processes and by each."""


def make_plans(options: Options, approach: Approach, ask: Ask, networks: list[Network]) -> list[Plan]:
    """One plan per worker, each with its network; their shares sum to the whole."""
    ends = list(itertools.accumulate(options.shares))
    requests: list[int | None] = [None] * options.procs
    if options.requests is not None:  # in proportion to the streams
        upto = [0, *(options.requests * end // options.total_streams for end in ends)]
        requests = [after - before for before, after in itertools.pairwise(upto)]
    timeouts = Timeouts(
        connect_s=options.timeout_connect_s,
        first_token_ns=int(options.timeout_first_token_s * 1e9),
        idle_ns=int(options.timeout_idle_s * 1e9),
        total_ns=int(options.timeout_total_s * 1e9),
    )
    return [
        Plan(
            api=approach.name,
            url=approach.target.url,
            network=networks[worker],
            headers=approach.headers,
            ask=ask,
            streams=share,
            worker=worker,
            workers=options.procs,
            requests=requests[worker],
            ramp_s=options.ramp_up_s,
            warmup_s=options.warmup_s,
            steady_s=options.steady_s,
            whole_run=options.whole_run,
            grace_s=options.grace_s,
            interval_s=options.interval_s,
            error_pause_s=options.error_pause_s,
            retries=options.retries,
            on_status=list(options.on_status),
            timeouts=timeouts,
            requests_per_connection=1 if not options.keepalive else options.requests_per_connection or 0,
            connect_gap_ns=_connect_gap_ns(options, approach.target.url),
            dials=max(LEAST_DIALS, DIALS // options.procs),
            seed=options.seed,
            secrets=approach.secrets,
            verbose=options.verbose or options.log_file is not None,
            require_finish=options.require_finish,
            warmup_open=options.warmup_requests is not None,
        )
        for worker, share in enumerate(options.shares)
    ]


def default_procs(total: int | None, cores: int, most_streams: int) -> int:
    """Number of processes of a run that doesn't say: one for each of `cores`, but none without a stream, and more if
    one process can't have more than `most_streams`.

    `total`: streams of all of them; None: said for each process.
    """
    if total is None:
        return cores
    return max(1, min(cores, total), min(-(-total // most_streams), MOST_PROCS))


def own_ramp_s(options: Options) -> float:
    """The ramp of a run that none was asked for: whole seconds that the opening of its connections takes.

    Without it thousands of streams would begin within the steady window, and be missing from its rates.
    """
    opening_s = _opening_s(options)
    return 0.0 if options.whole_run or opening_s < 1 else float(math.ceil(opening_s))


def warning_of_ramp(options: Options) -> str:
    """A sentence if streams will still begin within the steady window; empty if not."""
    opening_s, before_s = _opening_s(options), options.ramp_up_s + options.warmup_s
    if options.whole_run or options.warmup_requests is not None or opening_s < 1 or opening_s <= before_s:
        return ""
    return (
        f"opening {options.total_streams:,} connections takes {opening_s:.1f} s, so the first "
        f"{opening_s - before_s:.1f} s of the steady window run with fewer streams; use a longer --ramp-up or --warmup"
    )


def _opening_s(options: Options) -> float:
    return max(options.shares) * _connect_gap_ns(options, options.url or "") / 1e9


def _connect_gap_ns(options: Options, url: str) -> int:
    return schedule.connect_gap_ns(options.procs, tls=url.lower().startswith("https:"))
