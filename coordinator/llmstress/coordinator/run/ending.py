"""The end of a run: limits that end it early, the reason why it ended, its exit code. Pure functions."""

import signal
from collections.abc import Collection

import msgspec

from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import MaxErrors
from llmstress.coordinator.output.points import FindRow
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.target.url_typos import url_meant
from llmstress.engine.control import Final
from llmstress.engine.stream.failure_policy import END, END_FIRST
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.cost import NO_PRICES, Pricing
from llmstress.engine.telemetry.formatting import money
from llmstress.engine.telemetry.messages import ErrorSample
from llmstress.engine.telemetry.sanitize import sanitize_text
from llmstress.engine.telemetry.spending import committed, total_cost
from llmstress.engine.telemetry.threshold_words import judgement_words
from llmstress.engine.telemetry.thresholds import Judgement

MIN_FINISHED_FOR_SHARE = 100
"""`--max-errors P%` ends a run early only from this many finished requests on: otherwise a failure of the first request
would be 100 %. At the end of the run the share is compared whatever the number."""

MOST_FAILED = 0.5
"""If more than this share of the requests failed, a line explains why the exit code is 0."""


class Limit(msgspec.Struct, frozen=True):
    """The reason to end a run early."""

    ended_by: str
    """Value of the summary's `ended_by`."""
    text: str
    """The reason as shown to the user."""


def limit_reached(
    options: Options, aggregate: Aggregate, url: str = "", api: str = "", pricing: Pricing = NO_PRICES
) -> Limit | None:
    """The limit or the fatal failure that ends the run now; None: the run goes on.

    Args:
        options: limits of the user.
        aggregate: what has been measured so far.
        url: the target's endpoint, without secrets; if the server does not know its path, the text suggests another.
        api: name of the API.
        pricing: what the requests cost.
    """
    if (failure := _fatal_failure(aggregate, url, api)) is not None:
        return failure
    if _exceeds(options.max_errors, aggregate.failed(), aggregate.finished(), MIN_FINISHED_FOR_SHARE):
        return Limit("errors", f"--max-errors is reached ({aggregate.failed():,} failed requests)")
    if options.max_total_tokens is not None and (tokens := tokens_so_far(aggregate)) >= options.max_total_tokens:
        return Limit("quota", f"--max-total-tokens is reached ({tokens:,} tokens)")
    return _too_dear(options, aggregate, pricing)


def _too_dear(options: Options, aggregate: Aggregate, pricing: Pricing) -> Limit | None:
    """The end of a run that has cost, with the requests in flight, as much as `--max-cost` allows."""
    if options.max_cost is None:
        return None
    spent, coming = total_cost(aggregate, pricing).value, committed(aggregate, pricing)
    if spent + coming < options.max_cost:
        return None
    expected = f", and about {money(coming, pricing.currency)} for the requests in flight" if coming else ""
    return Limit("quota", f"--max-cost is reached ({money(spent, pricing.currency)} so far{expected})")


def tokens_so_far(aggregate: Aggregate) -> int:
    """Input and output tokens so far. For ok answers these are the reported tokens; for failed, cancelled and open
    requests each token-bearing event counts as one, and their input is unknown."""
    parts = [part.counters for part in aggregate.parts.values()]
    return sum(part.input + part.output + part.events - part.events_ok for part in parts)


def _exceeds(limit: MaxErrors | None, failed: int, finished: int, least: int = 1) -> bool:
    """Whether the failures reach `limit`; a share is compared from `least` finished requests on."""
    if limit is None:
        return False
    if limit.count is not None:
        return failed >= limit.count
    return limit.share is not None and finished >= least and failed >= limit.share * finished


def _fatal_failure(aggregate: Aggregate, url: str, api: str) -> Limit | None:
    """The failure that ends the run, with the server's message; None: there is none."""
    if (sample := aggregate.fatal.get(END)) is not None:
        what = "the provider's quota is used up" if sample.error == "quota" else f"{sample.error} ends the run"
        return _limit_of(sample, what)
    sample = aggregate.fatal.get(END_FIRST)
    if sample is None or _answered(aggregate):
        return None
    limit = _limit_of(sample, f"the first answer is {sample.error}")
    meant = url_meant(sample.status, sample.text, url, api) if url else ""
    return msgspec.structs.replace(limit, text=f"{limit.text}; did you mean {meant}?") if meant else limit


def _limit_of(sample: ErrorSample, what: str) -> Limit:
    status = f" ({sample.status})" if sample.status and str(sample.status) not in sample.error else ""
    message = sanitize_text(" ".join(sample.text.split()))
    return Limit("quota" if sample.error == "quota" else "errors", f"{what}{status}{f': {message}' if message else ''}")


def _answered(aggregate: Aggregate) -> bool:
    """Whether the server has answered successfully: with a whole answer, or the beginning of one."""
    ended = aggregate.ended()
    return bool(ended.get("ok") or ended.get("filtered") or aggregate.counters().events)


def why_ended(options: Options, aggregate: Aggregate, ended_by: str, finals: Collection[Final]) -> str:
    """The summary's `ended_by`.

    Args:
        options: options of the run.
        aggregate: the state at the end.
        ended_by: the reason if the coordinator ended the run early; else empty.
        finals: the last message of each worker that was not lost.
    """
    if all(worker.state == "lost" for worker in aggregate.workers):
        return "lost"
    if ended_by:
        return ended_by
    if _exceeds(options.max_errors, aggregate.failed(), aggregate.finished()):
        return "errors"
    exhausted = all(final.exhausted for final in finals)
    return "requests" if options.counted and exhausted else "duration"


def threshold_limit(judgement: Judgement) -> Limit:
    """The end of a run whose threshold of `--abort-if` has failed."""
    return Limit("threshold", f"--abort-if {judgement.threshold.text}: {judgement_words(judgement)}")


def exit_code(options: Options, summary: Summary, signals: list[int]) -> ExitCode:
    """The exit code of a run: the first that applies of 4, 130 or 143, 99, 98, 6, 5, 97, 0.

    `signals`: the signals that were received, in order.
    """
    return with_thresholds(exit_code_of_run(options, summary, signals), options, summary)


def with_thresholds(code: ExitCode, options: Options, summary: Summary) -> ExitCode:
    """The exit code of a run that has `code` without regard to its thresholds."""
    judged = exit_code_of_thresholds(options, summary)
    if code in (ExitCode.INCOMPLETE, ExitCode.SIGINT, ExitCode.SIGTERM) or judged is ExitCode.OK:
        return code
    # a run without a success leaves most thresholds undecided, so the code 5 says more than 97
    return code if judged is ExitCode.UNDECIDED and code is not ExitCode.OK else judged


def exit_code_of_thresholds(options: Options, summary: Summary) -> ExitCode:
    """99, 98, 97, or 0 if the thresholds allow the run to pass."""
    failed = {each.unit for each in summary.thresholds if each.state == "failed"}
    if failed - {"status"}:
        return ExitCode.THRESHOLD
    if failed:
        return ExitCode.VERDICT
    undecided = any(each.state == "undecided" for each in summary.thresholds)
    return ExitCode.UNDECIDED if undecided and options.undecided == "fail" else ExitCode.OK


def exit_code_of_run(options: Options, summary: Summary, signals: list[int]) -> ExitCode:
    """The exit code of a run without regard to thresholds."""
    if not summary.complete:
        return ExitCode.INCOMPLETE
    if signals:
        return exit_code_of(signals[0])
    if summary.ended_by == "abort":
        return ExitCode.SIGINT
    # a fatal failure (a refused key) can end a run without --max-errors; the code is 6 if a request succeeded, else 5
    if _reached(options.max_errors, summary) or (summary.ended_by == "errors" and summary.requests.ok):
        return ExitCode.TOO_MANY_ERRORS
    if not summary.requests.ok:
        return ExitCode.NO_SUCCESS
    return code_of_find(summary.find) if isinstance(summary.find, FindRow) else ExitCode.OK


def code_of_find(find: FindRow) -> ExitCode:
    """The exit code of a search for the capacity that came to its end."""
    codes: dict[str, ExitCode] = {"undecided": ExitCode.UNDECIDED, "none": ExitCode.THRESHOLD}
    return codes.get(find.state, ExitCode.OK)


def exit_code_of(number: int) -> ExitCode:
    """The exit code of a run that the signal `number` ended; SIGHUP counts as SIGTERM."""
    return ExitCode.SIGINT if number == signal.SIGINT else ExitCode.SIGTERM


def _reached(limit: MaxErrors | None, summary: Summary) -> bool:
    return _exceeds(limit, summary.requests.failed, summary.outcome.finished)


def exit_code_reason(options: Options, summary: Summary, code: ExitCode) -> str:
    """A sentence that explains an exit code which the user may not expect; else empty."""
    limit, outcome, find = options.max_errors, summary.outcome.text, summary.find
    match code:
        case ExitCode.OK if summary.requests.failed > MOST_FAILED * summary.outcome.finished:
            because = "no --max-errors was given" if limit is None else f"--max-errors {limit} was not reached"
            return f"{outcome}; exit code 0 because {because}"
        case ExitCode.INCOMPLETE:
            return f"a worker was lost, so the results are incomplete; {outcome}; exit code {code:d}"
        case ExitCode.TOO_MANY_ERRORS if _reached(limit, summary):
            return f"{outcome}; exit code {code:d} because of --max-errors {limit}"
        case ExitCode.TOO_MANY_ERRORS:
            return f"{outcome}; exit code {code:d} because a failure ended the run"
        case ExitCode.NO_SUCCESS:
            return f"no request succeeded: {outcome}; exit code {code:d}"
        case ExitCode.UNDECIDED | ExitCode.THRESHOLD if isinstance(find, FindRow) and code is code_of_find(find):
            return f"{find.text}; exit code {code:d}"
        case ExitCode.THRESHOLD | ExitCode.VERDICT:
            return f"a threshold was crossed: {_thresholds_words(summary, 'failed')}; exit code {code:d}"
        case ExitCode.UNDECIDED:
            which = _thresholds_words(summary, "undecided")
            return f"not enough data to decide {which}; exit code {code:d}; --undecided pass accepts this"
    return ""


def _thresholds_words(summary: Summary, state: str) -> str:
    """The thresholds in a state: `ttft.p99>800ms (and 2 more)`."""
    first, *others = (each.text for each in summary.thresholds if each.state == state)
    return f"{first} (and {len(others)} more)" if others else first


def lengths(finals: Collection[Final]) -> tuple[float, float]:
    """Length of steady window and drain in seconds, as measured by the workers (the longest of each)."""
    steady_s = max((final.steady_ns for final in finals), default=0) / 1e9
    drain_s = max((final.drain_ns for final in finals), default=0) / 1e9
    return round(steady_s, 6), round(drain_s, 6)
