"""The replay of a trace: for the workers, the user and the summary. Pure functions."""

from collections.abc import Sequence

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.load_schema import SkippedRow, TraceInfo
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.control import Replay
from llmstress.engine.load.request_maker import takes_lengths, takes_prompts
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.formatting import duration


def replay_of(
    tasks: Sequence[RunTask], trace: TraceFacts | None, salt: int = 0, prepared: Prepared = NOTHING_PREPARED
) -> Replay | None:
    """The trace as the workers use it; None: there is none.

    Its output lengths are used unless the user gives another limit, with `--max-tokens` or in the body, or the API has
    none. Prompts of its input lengths are made unless the user gives prompts, or the requests have no place for one. In
    a mix neither is used: a row does not say of which task it is.

    `salt`: see `Synthetic`. `prepared`: what the prompts of the tasks need.
    """
    if trace is None:
        return None
    given = trace.columns.without_output < trace.columns.rows
    [task, *others] = tasks
    options, body = task.options, task.resolved.api.body
    lengths = given and not others and options.max_tokens is None and takes_lengths(body, task.ask)
    own = options.prompt_given or options.prompt_ids or options.prompts or options.prompt_tokens is not None
    known = trace.columns.without_input < trace.columns.rows
    made = known and not own and not others and takes_prompts(body, task.ask)
    return Replay(
        str(trace.directory),
        lengths,
        block=trace.block if made else 0,
        salt=salt,
        words=prepared.vocabulary(options).words if options.tokenizer is not None else (),
    )


def trace_info(
    options: Options, trace: TraceFacts | None, replay: Replay | None, aggregate: Aggregate
) -> TraceInfo | None:
    """The summary's description of a trace; None: there is none."""
    if trace is None or replay is None:
        return None
    return TraceInfo(
        format=trace.format,
        stamps=trace.stamps,
        rows=trace.columns.rows,
        used=aggregate.counters().due,
        skipped=trace.bad,
        skipped_rows=[SkippedRow(bad.line, bad.why) for bad in trace.bad_rows],
        unsorted=trace.columns.unsorted,
        span_s=round(trace.columns.span_ns / 1e9, 6),
        speed=options.speed,
        lengths=_lengths(replay),
    )


def trace_warnings(options: Options, trace: TraceFacts) -> list[str]:
    """What of the file is not used as it stands there."""
    found = []
    if trace.bad:
        first = trace.bad_rows[0]
        of = f"{trace.bad:,} of {trace.bad + trace.columns.rows:,}"
        found.append(f"--trace {options.trace}: bad rows left out: {of}; line {first.line}: {first.why}")
    if trace.columns.unsorted:
        found.append(
            f"--trace {options.trace}: rows earlier than the row above them: {trace.columns.unsorted:,} of "
            f"{trace.columns.rows:,}; all rows were sorted by their stamps"
        )
    return found


def describe_replay(options: Options, trace: TraceFacts | None, replay: Replay | None) -> str:
    """The line of the banner for a trace; empty: there is none."""
    if trace is None or replay is None:
        return ""
    span_s, rows = trace.columns.span_ns / 1e9, trace.columns.rows
    stamps = "dates" if trace.stamps == "dates" else f"stamps in {trace.stamps}"
    speed = "" if options.speed == 1 else f", replayed in {_about(span_s / options.speed)}"
    used = " and ".join(_lengths(replay))
    lengths = f"{used} lengths used" if used else "lengths not used"
    of = f"{rows:,} row{'' if rows == 1 else 's'} in {_about(span_s)}"
    return f"trace: {of} ({trace.format} format, {stamps}){speed}; {lengths}"


def _lengths(replay: Replay) -> list[str]:
    """The lengths that the requests have from the trace."""
    return [*(["input"] if replay.block else []), *(["output"] if replay.lengths else [])]


def _about(seconds: float) -> str:
    return duration(round(seconds, 3))
