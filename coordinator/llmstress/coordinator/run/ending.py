"""The end of a run: what ends it early, why it ended, its exit code. Pure functions."""

import signal
from collections.abc import Collection

import msgspec

from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import MaxErrors
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.target.url_typos import url_meant
from llmstress.engine.control import Final
from llmstress.engine.stream.failure_policy import END, END_FIRST
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import ErrorSample
from llmstress.engine.telemetry.sanitize import sanitize_text

MIN_FINISHED_FOR_SHARE = 100
"""`--max-errors P%` ends a run early only from this many finished requests on: the first failure of a run would be
100 % of them. At the end of the run the share is compared whatever the number."""

MOST_FAILED = 0.5
"""A run with a larger share of failed requests is not left with exit code 0 without a word."""


class Limit(msgspec.Struct, frozen=True):
    """What ends a run early."""

    ended_by: str
    """As in the summary."""
    text: str


def limit_reached(options: Options, aggregate: Aggregate, url: str = "", api: str = "") -> Limit | None:
    """What ends the run, given what was measured so far: a limit of the user's, or a failure; None: nothing does.

    `url` and `api`: the endpoint that is loaded, without secrets; if the server doesn't know its path, the failure says
    which one was probably meant.
    """
    if (failure := _grave_failure(aggregate, url, api)) is not None:
        return failure
    if _exceeds(options.max_errors, aggregate.failed(), aggregate.finished(), MIN_FINISHED_FOR_SHARE):
        return Limit("errors", f"--max-errors is reached ({aggregate.failed():,} failed requests)")
    if options.max_total_tokens is not None and (tokens := tokens_so_far(aggregate)) >= options.max_total_tokens:
        return Limit("quota", f"--max-total-tokens is reached ({tokens:,} tokens)")
    return None


def tokens_so_far(aggregate: Aggregate) -> int:
    """Tokens in and out: of ok answers as they were reported, else (failed, cancelled, in flight) one an event.

    The input of an answer that isn't ok, or not yet, is unknown.
    """
    parts = [part.counters for part in aggregate.parts.values()]
    return sum(part.input + part.output + part.events - part.events_ok for part in parts)


def _exceeds(limit: MaxErrors | None, failed: int, finished: int, least: int = 1) -> bool:
    """Whether there are too many failures; a share is compared from `least` finished requests on."""
    if limit is None:
        return False
    if limit.count is not None:
        return failed >= limit.count
    return limit.share is not None and finished >= least and failed >= limit.share * finished


def _grave_failure(aggregate: Aggregate, url: str, api: str) -> Limit | None:
    """The failure that ends the run, in the provider's own words."""
    if (sample := aggregate.grave.get(END)) is not None:
        what = "the provider's quota is used up" if sample.error == "quota" else f"{sample.error} ends the run"
        return _limit_of(sample, what)
    sample = aggregate.grave.get(END_FIRST)
    if sample is None or _answered(aggregate):
        return None
    limit = _limit_of(sample, f"the first answer is {sample.error}")
    meant = url_meant(sample.status, sample.text, url, api) if url else ""
    return msgspec.structs.replace(limit, text=f"{limit.text}; did you mean {meant}?") if meant else limit


def _limit_of(sample: ErrorSample, what: str) -> Limit:
    status = f" ({sample.status})" if sample.status and str(sample.status) not in sample.error else ""
    words = sanitize_text(" ".join(sample.text.split()))
    return Limit("quota" if sample.error == "quota" else "errors", f"{what}{status}{f': {words}' if words else ''}")


def _answered(aggregate: Aggregate) -> bool:
    """Whether anything good has come: a whole answer, or the beginning of one."""
    ended = aggregate.ended()
    return bool(ended.get("ok") or ended.get("filtered") or aggregate.counters().events)


def why_ended(options: Options, aggregate: Aggregate, ended_by: str, finals: Collection[Final]) -> str:
    """The summary's `ended_by`; `ended_by` is what was done to end the run, empty if it ended by itself."""
    if all(worker.state == "lost" for worker in aggregate.workers):
        return "lost"
    if ended_by:
        return ended_by
    if _exceeds(options.max_errors, aggregate.failed(), aggregate.finished()):
        return "errors"
    exhausted = all(final.exhausted for final in finals)
    return "requests" if options.requests is not None and exhausted else "duration"


def exit_code(options: Options, summary: Summary, signals: list[int]) -> ExitCode:
    """The exit code of a run: the first that applies of 4, 130 or 143, 6, 5, 0.

    `signals`: those that have come, in order.
    """
    if not summary.complete:
        return ExitCode.INCOMPLETE
    if signals:
        return exit_code_of(signals[0])
    if summary.ended_by == "abort":
        return ExitCode.SIGINT
    # a failure can end a run without --max-errors (a refused key): if nothing succeeded before, that is code 5
    if _reached(options.max_errors, summary) or (summary.ended_by == "errors" and summary.requests.ok):
        return ExitCode.TOO_MANY_ERRORS
    return ExitCode.OK if summary.requests.ok else ExitCode.NO_SUCCESS


def exit_code_of(number: int) -> ExitCode:
    """The exit code of a run that a signal ended; a closed terminal ends it like SIGTERM."""
    return ExitCode.SIGINT if number == signal.SIGINT else ExitCode.SIGTERM


def _reached(limit: MaxErrors | None, summary: Summary) -> bool:
    return _exceeds(limit, summary.requests.failed, summary.outcome.finished)


def last_words(options: Options, summary: Summary, code: ExitCode) -> str:
    """Why the command leaves with `code`, where its user may not expect it; empty if nothing needs to be said."""
    limit, outcome = options.max_errors, summary.outcome.text
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
    return ""


def lengths(finals: Collection[Final]) -> tuple[float, float]:
    """Steady window and drain in seconds, as the workers cut them."""
    steady_s = max((final.steady_ns for final in finals), default=0) / 1e9
    drain_s = max((final.drain_ns for final in finals), default=0) / 1e9
    return round(steady_s, 6), round(drain_s, 6)
