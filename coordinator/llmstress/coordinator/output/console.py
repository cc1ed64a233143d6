"""The output of a run on stderr and in its log: banner, progress lines, warnings, and a table at the end."""

import contextlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, TextIO

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.sweep_text import level_text
from llmstress.coordinator.output.bands import bands_table
from llmstress.coordinator.output.bystander import line_of
from llmstress.coordinator.output.conversation_schema import Conversations
from llmstress.coordinator.output.conversations import conversation_lines
from llmstress.coordinator.output.cost import cost_lines
from llmstress.coordinator.output.flows import flow_lines
from llmstress.coordinator.output.judging_schema import Fluidity, Goodput, SmoothGoodput, ThresholdRow
from llmstress.coordinator.output.latencies import Latency
from llmstress.coordinator.output.load_text import asked_line, load_line, windows_table, words_lines
from llmstress.coordinator.output.log import LogFile
from llmstress.coordinator.output.points import FindRow, SweepRow
from llmstress.coordinator.output.points_text import find_lines, sweep_lines
from llmstress.coordinator.output.schema import Bystander, Summary, Undetermined
from llmstress.coordinator.output.tasks import fairness_lines, task_lines, tasks_table
from llmstress.engine.secrets import distinctive, redact
from llmstress.engine.telemetry.broadcast import RunFacts
from llmstress.engine.telemetry.formatting import (
    count,
    duration,
    latency,
    rate,
    rate_limit_left,
    share,
    share_range,
    worth_a_line,
)
from llmstress.engine.telemetry.intervals import CONFIDENCE
from llmstress.engine.telemetry.metrics import METRICS, PROGRESS, TABLE
from llmstress.engine.telemetry.sanitize import MAX_NAME, sanitize_text
from llmstress.engine.telemetry.slo import NOT_JUDGED, Objectives
from llmstress.engine.telemetry.snapshot import Snapshot
from llmstress.engine.telemetry.thresholds import STATES

_MOST_WORDS = 110
"""Most characters of a server's message in the table; the summary has more."""


def program_version() -> str:
    """The version of the installed package."""
    return version("llmstress")


class Console:
    """Prints lines on a text stream, and writes them, and more, to the log file."""

    def __init__(
        self, stream: TextIO, log: LogFile | None = None, *, verbose: bool = False, quiet: bool = False
    ) -> None:
        """
        Args:
            stream: usually stderr.
            log: the log file; None: there is none.
            verbose: print the log messages of workers, and those for viewers, on the stream as well.
            quiet: write progress lines only to the log.
        """
        self._stream = stream
        self._log = log
        self._verbose = verbose
        self._quiet = quiet
        self._held: list[str] | None = None
        self._secrets: list[str] = []

    def hide(self, secrets: list[str]) -> None:
        """Redact these texts from now on, except those that may be ordinary words in llmstress's own sentences."""
        self._secrets = distinctive(secrets)

    def hold(self) -> None:
        """Hold lines back, because a screen uses the terminal."""
        self._held = []

    def release(self) -> None:
        """Print the lines that were held back, because the screen is closed."""
        held, self._held = self._held or [], None
        for line in held:
            self._print(line)

    def say(self, line: str = "") -> None:
        """Print a line and write it to the log."""
        self.note(line)
        self._print(line)

    def warn(self, text: str) -> None:
        """Print a line that begins with the program's name."""
        self.say(f"llmstress: {text}")

    def relay(self, writer: str, text: str) -> None:
        """Write a message of another process to the log, and with `verbose` print it unless a screen is open."""
        self.note(text, writer)
        if self._verbose and self._held is None:
            self._print(f"{writer}: {text}")

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            log, self._log = self._log, None
            with contextlib.suppress(OSError):
                log.close()

    def note(self, text: str, writer: str = "run") -> None:
        """Write lines to the log only."""
        if self._log is None:
            return
        try:
            self._log.write(writer, redact(text, self._secrets))
        except OSError as error:
            self.close()
            self.warn(f"--log-file: {error}; the log ends here")

    def _print(self, line: str) -> None:
        if self._held is not None:
            self._held.append(line)
            return
        with contextlib.suppress(OSError):  # a closed pipe or terminal must not end the run
            print(redact(line, self._secrets), file=self._stream, flush=True)

    def banner(self, options: Options, run: RunFacts, notes: Sequence[str], more: str = "") -> None:
        """Print targets, APIs, models, size and phases of the run; `notes`: how URLs were changed, and proxies,
        addresses and TLS; `more`: another line, or empty."""
        of_all = (run.url, run.api, f"model {run.model}" if run.model else "")
        target = (
            f"{len(run.tasks)} task{'s' if len(run.tasks) > 1 else ''}"
            if run.tasks
            else "   ".join(filter(None, of_all))
        )
        self.say(f"llmstress {program_version()}   {target}")
        for line in task_lines(run.tasks):
            self.say(f"  {line}")
        for note in notes:
            self.say(f"  {note}")
        if more:
            self.say(f"  {more}")
        self.say(f"  {size_of(options)}")
        self.say(f"  {' → '.join(phases(options))}")

    def progress(self, picture: Snapshot, objectives: Objectives = NOT_JUDGED) -> None:
        """Print a progress line; all its figures cover the same few seconds.

        In the first half second nothing is printed. `objectives`: what requests are judged by.
        """
        if round(picture.elapsed_s) < 1:
            return
        now = picture.now
        work = {"tokens": f"{rate(now.tokens_per_s or 0)} tok/s", "inputs": f"{rate(now.inputs_per_s or 0)} inputs/s"}
        metrics = PROGRESS.of(whole_answers=picture.whole_answers)
        shown = [(metric, *(latency(now.percentile(metric, name)) for name in ("p50", "p99"))) for metric in metrics]
        parts = [
            f"{duration(round(picture.elapsed_s)):>6} {picture.phase.name.lower():<6}",
            f"open {count(picture.open)}/{count(picture.target)}",
            *_arrivals(picture),
            *([work[picture.counted_in]] if picture.counted_in in work else []),
            f"{rate(now.requests_per_s or 0)} req/s",
            *(f"{METRICS[metric].label} p50 {p50} p99 {p99}" for metric, p50, p99 in shown),
            f"failed {share(now.failed, now.finished)}{_most_frequent(now.failed_by)}",
        ]
        if objectives.slos:
            good = now.goodput
            parts.append(f"good {share_range(good.share, good.share_max)} {rate(good.per_s or 0)} req/s")
        if picture.retries:
            parts.append(f"retries {count(picture.retries)}")
        if picture.rate_limits:
            parts.append(f"left {rate_limit_left(picture.rate_limits)}")
        line = "  ".join(parts)
        self.note(line)
        if self._held is None and not self._quiet:  # not held back: the screen has shown these figures
            self._print(line)

    def table(self, summary: Summary, *, intervals: bool = False) -> None:
        """Print the table at the end of a run; `intervals`: with the confidence intervals of the percentiles."""
        requests, tokens = summary.requests, summary.tokens
        ends = [f"{count(requests.ok)} ok"]
        others = [(requests.failed, "failed"), (requests.filtered, "filtered"), (requests.abandoned, "abandoned")]
        others += [(requests.cancelled - requests.abandoned, "cancelled"), (requests.lost, "lost")]
        ends += [f"{count(n)} {name}" for n, name in others if n]
        self.say()
        self.say(f"outcome: {summary.outcome.text}")
        self.say(f"measurement: {summary.verdict.status}{_of_what(summary)}")
        for reason in summary.verdict.reasons:
            self.say(f"  - {reason}")
        for note in summary.verdict.notes:
            self.say(f"  · {note}")
        self.say(f"requests  {count(requests.started)} started: {', '.join(ends)}{_per_s(requests.per_s)}")
        if line := load_line(summary.load):
            self.say(line)
        if requests.retries:
            by_class = ", ".join(f"{count(n)} {name}" for name, n in requests.retried.items())
            self.say(f"retries   {count(requests.retries)} after {by_class}")
        whole_answers = requests.ok > 0 and not (tokens.events or summary.latency_ms["ttft"].count)
        if tokens.inputs:
            self.say(f"inputs    {count(tokens.inputs)}{_per_s(tokens.inputs_per_s)}")
        counted = []
        if tokens.output:
            counted.append(f"{count(tokens.output)} output" + _per_s(tokens.output_per_s, ", "))
        elif tokens.events:
            counted.append(f"{count(tokens.events)} received" + _per_s(tokens.output_per_s, ", "))
        if tokens.input:
            counted.append(f"{count(tokens.input)} input")
        if counted:
            source = {"usage": "by usage", "events": "by events", "mixed": "by usage or events", None: "output unknown"}
            self.say(f"tokens    {'; '.join(counted)} ({source[tokens.source]})")
        if tokens.asked is not None:
            self.say(asked_line(tokens.asked))
        for line in words_lines(tokens.words_per_token):
            self.say(line)
        self._goodput(summary)
        given = summary.run.options
        asked = any(given.get(name) is not None for name in ("price", "prices"))
        for line in cost_lines(summary.cost, asked=asked):
            self.say(line)
        for outcome, error in summary.errors.items():
            text = f": {_cut(error.samples[0].text)}" if error.samples else ""
            self.say(f"{outcome:<20}{count(error.count):>10}{text}")
        for kind, said in summary.rate_limits.items():
            of = f" of {count(said.limit)}" if said.limit is not None else ""
            self.say(f"rate limit{count(said.remaining):>10}{of} {kind} left, lowest {count(said.lowest)}")
        points = _of_points(summary)  # a table of their own
        if lines := [] if points else windows_table(summary.windows, whole_answers=whole_answers):
            self.say()
            for line in lines:
                self.say(line)
        if lines := [*tasks_table(summary.tasks, whole_answers=whole_answers), *fairness_lines(summary.fairness)]:
            self.say()
            for line in lines:
                self.say(line)
        if lines := bands_table(summary.bands, whole_answers=whole_answers):
            self.say()
            for line in lines:
                self.say(line)
        means = {metric: found.mean for metric, found in summary.latency_ms.items()}
        shown = TABLE.of(whole_answers=whole_answers)
        latencies: dict[str, Latency] = {name: summary.latency_ms[name] for name in shown if worth_a_line(name, means)}
        if requests.failed and not requests.ok and not any(found.count for found in latencies.values()):
            self.say()
            self.say(
                "no latencies, because no request succeeded; `llmstress probe` with the same flags shows one in detail"
            )
        else:
            if not points:  # those of different loads together say nothing
                self._latencies(latencies, intervals=intervals)
            self._undetermined(summary.tpot_undetermined)
        for line in points:
            self.say(line)
        if isinstance(summary.conversations, Conversations):
            self.say()
            for line in conversation_lines(summary.conversations):
                self.say(line)
        if isinstance(summary.flows, list):
            self.say()
            for line in flow_lines(summary.flows):
                self.say(line)
        if isinstance(summary.bystander, Bystander):
            self.say(line_of(summary.bystander))
        self._thresholds(summary.thresholds)

    def _thresholds(self, rows: list[ThresholdRow]) -> None:
        """Print one line for each threshold, those that failed first."""
        if not rows:
            return
        states = [row.state for row in rows]
        self.say()
        self.say(f"thresholds: {', '.join(f'{n} {state}' for state in STATES if (n := states.count(state)))}")
        width = max(len(row.text) for row in rows)
        for row in sorted(rows, key=lambda row: STATES.index(row.state)):
            self.say(f"  {row.state:<10}{row.text:<{width}}  {row.says}")

    def _goodput(self, summary: Summary) -> None:
        """Print the lines about SLOs, deadlines and reading, if they were given."""
        if isinstance(good := summary.goodput, Goodput):
            missed = ", ".join(f"{text} by {count(n)}" for text, n in good.missed.items())
            of = f"{share_range(good.share, good.share_max)} of {count(good.finished)} in the steady window"
            rates = "" if good.per_s is None else f", {rate(good.per_s)} req/s"
            rates += "" if good.tokens_per_s is None else f", {rate(good.tokens_per_s)} tok/s"
            unknown = f"; {count(good.unknown)} unknown" if good.unknown else ""
            self.say(f"goodput   {of}{rates}; missed: {missed}{unknown}")
        if isinstance(fluid := summary.fluidity, Fluidity):
            met = share_range(*(fluid.deadlines_met,) * 2)
            high = share_range(*(fluid.fluid_share,) * 2)
            answers = f"{count(fluid.answers)} answers"
            self.say(f"fluidity  {met} of the deadlines met; {high} of {answers} with an index of 0.9 or more")
        if isinstance(smooth := summary.smooth_goodput, SmoothGoodput) and smooth.tokens_per_s is not None:
            waits = ", ".join(f"{name} {latency(_us(getattr(smooth.idle_ms, name)))}" for name in ("p50", "p99"))
            self.say(f"smooth    {rate(smooth.tokens_per_s)} tok/s; idle {waits}")

    def _undetermined(self, found: Undetermined) -> None:
        """Print the line about answers with an undetermined tpot."""
        if not found.count:
            return
        bounds = [(found.by_usage_p50, "by usage"), (found.by_events_p50, "by events")]
        said = ", ".join(f"{latency(ms * 1000)} {by}" for ms, by in bounds if ms is not None)
        answers = "1 answer" if found.count == 1 else f"{count(found.count)} answers"
        self.say(f"{'tpot':<10}undetermined for {answers}{f'; p50 {said}' if said else ''}")

    def truth(self, truth: dict[str, Any]) -> None:
        """Print what the built-in mock reports to have sent in the whole run, for comparison with the table."""
        self.say()
        self.say(f"the mock reports {count(truth['done'])} answers with {count(truth['tokens'])} tokens sent:")
        for label, key in (
            ("time to first token", "ttft_ms"),
            ("between tokens", "gap_ms"),
            ("lateness of the mock", "lateness_ms"),
        ):
            shown = (f"{name} {latency(None if us is None else us * 1000)}" for name, us in _some(truth[key]))
            self.say(f"  {label:<22}{'   '.join(shown)}")

    def _latencies(self, latencies: dict[str, Latency], *, intervals: bool) -> None:
        names = ("p50", "p90", "p95", "p99", "p99_9", "max")
        self.say()
        titles = "".join(f"{name.replace('_', '.'):>10}" for name in names)
        self.say(f"{'':<10}{titles}{'samples':>10}")
        for metric, found in latencies.items():
            cells = []
            for name in names:
                value = getattr(found, name)
                thin = "~" if name in found.low_sample and value is not None else ""
                cells.append(f"{thin + latency(None if value is None else value * 1000):>10}")
            self.say(f"{metric:<10}{''.join(cells)}{count(found.count):>10}")
            if intervals:
                self._intervals(found, names[:-1])
        if intervals:
            self.say(f"from, to: {CONFIDENCE:.0%} confidence interval of each percentile; –: no limit on this side")

    def _intervals(self, found: Latency, names: Sequence[str]) -> None:
        """Print the limits of the percentiles in two lines."""
        for side, label in enumerate(("from", "to")):
            limits = [found.intervals[name][side] for name in names]
            cells = [latency(None if ms is None else ms * 1000) for ms in limits]
            self.say(f"  {label:<8}{''.join(f'{cell:>10}' for cell in cells)}")


def _of_points(summary: Summary) -> list[str]:
    """What a sweep or a search has found; nothing in other runs."""
    if isinstance(summary.sweep, SweepRow):
        return ["", *sweep_lines(summary.sweep)]
    return ["", *find_lines(summary.find)] if isinstance(summary.find, FindRow) else []


def _of_what(summary: Summary) -> str:
    """A supplement to the verdict if no request succeeded: "valid" alone would sound like a success."""
    if summary.requests.ok:
        return ""
    return f" ({'of the failures only: ' if summary.requests.failed else ''}no request succeeded)"


def _most_frequent(failed_by: Mapping[str, int]) -> str:
    """The most frequent failure class, after a space; empty without failures."""
    return f" {sanitize_text(max(failed_by, key=failed_by.__getitem__), MAX_NAME)}" if failed_by else ""


def _per_s(per_second: float | None, before: str = "   ") -> str:
    return "" if per_second is None else f"{before}{rate(per_second)}/s"


def _arrivals(picture: Snapshot) -> list[str]:
    """Asked and achieved rate of the open model, and the requests that wait or were dropped."""
    if picture.asked_per_s is None:
        return []
    of = " sessions" if picture.asked_unit == "sessions" else ""
    parts = [f"asked {rate(picture.asked_per_s)}{of}/s started {rate(picture.now.started_per_s)}/s"]
    parts += [f"waiting {count(picture.waiting)}"] if picture.waiting else []
    return parts + ([f"dropped {count(picture.dropped)}"] if picture.dropped else [])


def _us(ms: float | None) -> float | None:
    return None if ms is None else ms * 1000


def _cut(text: str) -> str:
    """A server's message in one line."""
    words = " ".join(text.split())
    return words if len(words) <= _MOST_WORDS else f"{words[: _MOST_WORDS - 1]}…"


def _some(percentiles: dict[str, float | None]) -> list[tuple[str, float | None]]:
    return [(name, percentiles[name]) for name in ("p50", "p99", "max")]


def phases(options: Options) -> list[str]:
    """The phases of a run with their lengths, as the banner shows them."""
    shown = []
    if options.sweep is not None:
        points = len(options.sweep.levels)
        shown.append(f"{_count_of(points, 'point', 's')} of {duration(options.point_s)}: {options.sweep}")
    elif (search := options.search) is not None:
        low, high = (level_text(level, rate=search.rate) for level in (search.lowest, search.highest))
        shown.append(f"search from {low} to {high}, at most {duration(search.budget_s)}")
    if options.ramp_up_s and not options.whole_run:
        shown.append(f"ramp-up {duration(options.ramp_up_s)}")
    if warmup(options):
        shown.append(f"warm-up {warmup(options)}")
    if options.stages:
        shown.append(stages(options))
    elif options.requests is not None:
        limit = "" if options.steady_s is None else f", at most {duration(options.steady_s)}"
        shown.append(f"{_count_of(options.requests, 'request', 's')}{limit}")
    elif options.trace is not None:
        shown.append("whole trace" if options.steady_s is None else f"trace, at most {duration(options.steady_s)}")
    elif options.steady_s:
        shown.append(f"steady {duration(options.steady_s)}")
    return [*shown, f"drain (at most {duration(options.grace_s)})"]


_MOST_STAGES = 6
"""Stages that the banner names."""


def stages(options: Options) -> str:
    """The stages of a run as they were given: `stages 30s:100, 2m:1000`."""
    named = [str(stage) for stage in options.stages[:_MOST_STAGES]]
    if more := len(options.stages) - len(named):
        named.append(f"{more:,} more")
    return f"stage{'' if len(options.stages) == 1 else 's'} {', '.join(named)}"


def warmup(options: Options) -> str:
    """Length of the warm-up: `20s`, `500 requests`; empty without one."""
    if options.warmup_requests is not None:
        return _count_of(options.warmup_requests, "request", "s")
    return duration(options.warmup_s) if options.warmup_s else ""


def size_of(options: Options) -> str:
    """Number of processes and streams: `2 processes × 50 = 100 streams`; `3 processes, 100 streams`. At a rate:
    `2 processes, 50/s (poisson arrivals), at most 10,000 requests in flight`. With a trace without the arrivals."""
    processes, streams = _count_of(options.procs, "process", "es"), options.total_streams
    if options.open:
        arrivals = f"{options.arrival_name} arrivals"
        arrivals = f"{options.rate} ({arrivals}), " if options.rate is not None else f"{arrivals}, "
        arrivals = "" if options.trace is not None else arrivals
        return f"{processes}, {arrivals}at most {_count_of(streams, 'request', 's')} in flight"
    if options.stages or options.course:
        return f"{processes}, up to {_count_of(streams, 'stream', 's')}"
    each = f" × {options.shares[0]:,} = " if len(set(options.shares)) == 1 else ", "
    return f"{processes}{each}{_count_of(streams, 'stream', 's')}"


def _count_of(n: int, noun: str, plural: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else plural}"
