"""A sweep or a search as lines of text: a table with a row for each load, bars, and the answer. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.config.sweep_text import level_text, level_words
from llmstress.coordinator.output.points import FindRow, SweepRow
from llmstress.engine.telemetry.formatting import count, duration, latency, rate, share

BAR = 46
"""Columns of the longest bar: with label and value a line has at most 80."""


def sweep_lines(sweep: SweepRow) -> list[str]:
    """A table of the points, bars of throughput, TTFT and interactivity, and a sentence about peak and knee."""
    if not sweep.points:
        return [f"sweep: no point was measured: {sweep.ended_because}"]
    return [
        f"sweep: {len(sweep.points)} point{'' if len(sweep.points) == 1 else 's'}; {sweep.ended_because}",
        "",
        *_table(sweep),
        *_charts(sweep),
        "",
        *_peak_and_knee(sweep),
    ]


def find_lines(find: FindRow) -> list[str]:
    """A table of the probes, and the answer."""
    per_s = find.unit == "requests/s"
    lines = [
        f"find: {', '.join(find.slos)}; {len(find.probes)} probe{'' if len(find.probes) == 1 else 's'}; "
        f"{find.ended_because}",
        "",
        f"{'load':>9}  {'':<8}{'met':>8} {'interval':>17}{'requests':>10}{'TTFT p99':>10}{'TPOT p50':>10}",
    ]
    for probe in find.probes:
        met = "–" if probe.share is None else f"{100 * probe.share:.2f} %"
        between = f"{100 * probe.low:.2f} – {100 * probe.high:.2f} %"
        lines.append(
            f"{level_text(probe.load, rate=per_s):>9}  {probe.state:<8}{met:>8} {between:>17}{count(probe.counted):>10}"
            f"{_ms(probe.ttft_p99):>10}{_ms(probe.tpot_p50):>10}{_marks(settled=probe.settled, client=probe.client)}"
        )
    lines += _legend(settled=all(each.settled for each in find.probes), client=any(each.client for each in find.probes))
    lines += ["", find.text]
    return lines + [f"  - {surprise}" for surprise in find.surprises]


def _table(sweep: SweepRow) -> list[str]:
    per_s = sweep.unit == "requests/s"
    titles = ("tok/s", "req/s", "TTFT p50", "p99", "TPOT p50", "tok/s/user", "failed", "time")
    lines = [f"{'load':>9}" + "".join(f"{title:>{_WIDTHS[title]}}" for title in titles)]
    for row in sweep.points:
        cells = {
            "tok/s": _per_s(row.tokens_per_s),
            "req/s": _per_s(row.requests_per_s),
            "TTFT p50": _ms(row.ttft_p50),
            "p99": _ms(row.ttft_p99),
            "TPOT p50": _ms(row.tpot_p50),
            "tok/s/user": _per_s(row.interactivity),
            "failed": share(row.failed, row.ok + row.failed),
            "time": duration(round(row.seconds)),
        }
        lines.append(
            f"{level_text(row.load, rate=per_s):>9}"
            + "".join(f"{cells[title]:>{_WIDTHS[title]}}" for title in titles)
            + _marks(settled=row.settled, client=row.client)
        )
    settled, client = all(row.settled for row in sweep.points), any(row.client for row in sweep.points)
    return lines + _legend(settled=settled, client=client)


_WIDTHS = {
    "tok/s": 8, "req/s": 8, "TTFT p50": 9, "p99": 9, "TPOT p50": 9, "tok/s/user": 11, "failed": 8, "time": 6
}  # fmt: skip


def _charts(sweep: SweepRow) -> list[str]:
    per_s = sweep.unit == "requests/s"
    in_tokens = all(row.tokens_per_s for row in sweep.points)
    what, lines = ("tok/s", "output tokens per second") if in_tokens else ("req/s", "requests per second"), list[str]()
    labels = [level_text(row.load, rate=per_s) for row in sweep.points]
    through = [(row.tokens_per_s if in_tokens else row.requests_per_s) or 0.0 for row in sweep.points]
    lines += ["", f"throughput against load ({what[1]})"]
    lines += [f"{label:>9} {_bar(n, through)} {rate(n)}" for label, n in zip(labels, through, strict=True)]
    if any(row.ttft_p50 is not None for row in sweep.points):
        high = [row.ttft_p99 or row.ttft_p50 or 0.0 for row in sweep.points]
        lines += ["", "TTFT against load (█ up to p50, ░ up to p99)"]
        lines += [
            f"{label:>9} {_two_bars(row.ttft_p50 or 0.0, ms, high)} {_ms(row.ttft_p50)}, {_ms(row.ttft_p99)}"
            for label, row, ms in zip(labels, sweep.points, high, strict=True)
        ]
    pairs = sorted((n, row.interactivity) for n, row in zip(through, sweep.points, strict=True) if row.interactivity)
    if pairs:
        seen = [user for _, user in pairs]
        lines += ["", f"interactivity against throughput (tokens per second of one user, by {what[0]})"]
        lines += [f"{rate(n):>9} {_bar(user, seen)} {rate(user)}" for n, user in pairs]
    return lines


def _bar(value: float, all_values: Sequence[float]) -> str:
    return "█" * round(BAR * value / (max(all_values) or 1.0))


def _two_bars(first: float, second: float, all_values: Sequence[float]) -> str:
    full = len(_bar(first, all_values))
    return "█" * full + "░" * (len(_bar(second, all_values)) - full)


def _peak_and_knee(sweep: SweepRow) -> list[str]:
    per_s, peak, knee = sweep.unit == "requests/s", sweep.peak, sweep.knee
    if peak is None:
        return ["peak: none: no request succeeded"]
    unit = "tok/s" if peak.of == "tokens" else "req/s"
    exact = "" if peak.low is None or peak.high is None else f" ({rate(peak.low)} to {rate(peak.high)})"
    reached = ""
    if peak.reached_at < peak.load:
        reached = f", not certainly lower from {level_text(peak.reached_at, rate=per_s)} on"
    first = f"peak: {rate(peak.per_s)} {unit}{exact} at {level_words(peak.load, rate=per_s)}{reached}"
    if knee.load is None:
        return [first, f"knee: none: {knee.why}"]
    between = ""
    if knee.low is not None and knee.high is not None:
        low, high = (level_text(_load(level, per_s=per_s), rate=per_s) for level in (knee.low, knee.high))
        between = f" ({low} to {high})"
    return [
        first,
        f"knee: about {level_words(_load(knee.load, per_s=per_s), rate=per_s)}{between}, where the line of the lowest "
        "load reaches the peak",
    ]


def _load(level: float, *, per_s: bool) -> float:
    """A load between those that were measured, as it is shown."""
    return level if per_s else float(round(level))


def _marks(*, settled: bool, client: str) -> str:
    marks = ("" if settled else "?") + ("!" if client else "")
    return f" {marks}" if marks else ""


def _legend(*, settled: bool, client: bool) -> list[str]:
    lines = [] if settled else ["? the load had not settled before it was measured"]
    if client:
        lines.append("! this client limited or delayed what was measured (`client` in the summary)")
    return lines


def _per_s(per_second: float | None) -> str:
    return "–" if per_second is None else rate(per_second)


def _ms(ms: float | None) -> str:
    return latency(None if ms is None else ms * 1000)
