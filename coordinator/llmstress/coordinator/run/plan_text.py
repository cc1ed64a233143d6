"""The plan of a run in words: how many requests of which kind, what they ask, what they may cost. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT
from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.prompts.prepared import Prepared
from llmstress.coordinator.prompts.read import PromptFacts
from llmstress.coordinator.run import token_rate
from llmstress.coordinator.run.prompt_files import describe_prompts
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.control import Plan, Think
from llmstress.engine.load.mix import Entry, Mix
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.telemetry.cost import PER, SECONDS_PER_HOUR, Pricing
from llmstress.engine.telemetry.formatting import duration, money, share
from llmstress.engine.telemetry.messages import Phase

MOST_FOLLOWED = 2_000_000
"""Steps of work to find the exact number of requests of each task; beyond it the numbers are near ones."""


class Described(msgspec.Struct, frozen=True):
    """The plan in lines."""

    run: list[str]
    tasks: list[list[str]]
    numbers: list[int | None]
    """The exact number of requests of each task, as far as it is known before the run."""


class _Number(msgspec.Struct, frozen=True):
    """How many requests, or sessions, there will be."""

    text: str
    exact: int | None = None
    expected: float | None = None
    """None: nobody knows."""


def plan_lines(
    options: Options,
    tasks: Sequence[RunTask],
    plans: Sequence[Plan],
    entries: Sequence[Entry],
    pricing: Pricing,
    trace: TraceFacts | None,
    prepared: Prepared,
) -> Described:
    """The plan of a run, and of each of its tasks.

    `plans`: those of the workers. `entries`: what the mix has of each task. `pricing`, `trace`, `prepared`: those of
    the run.
    """
    wholes = [task for task in tasks if task.begins]
    numbers = _numbers(options, wholes, plans, entries, trace)
    run = [f"  threshold: {'--abort-if' if each.abort else '--fail-if'} {each.text}" for each in options.thresholds]
    costs = [
        _cost(task, number, pricing, tasks.index(task), prepared.file(task.options))
        for task, number in zip(wholes, numbers, strict=True)
    ]
    run += _total_cost(pricing, costs, plans[0])
    if options.max_cost is not None:
        run.append(f"  ends when it has cost {money(options.max_cost, pricing.currency)} (--max-cost)")
    total = sum(task.weight for task in wholes)
    lengths = plans[0].replay is not None and plans[0].replay.lengths
    described = []
    for task, number, cost in zip(wholes, numbers, costs, strict=True):
        lines = [f"{f'task {task.name}' if task.name else 'requests'}: {number.text}"]
        if task.name:
            lines.append(f"  weight {task.weight} of {total:,}: {share(task.weight, total)}")
        if task.step is None:
            about = _about(task.options, task, prepared.file(task.options), lengths=lengths)
        else:
            about = _steps([each for each in tasks if each.own is task.own])
        lines += [f"  {line}" for line in about]
        if cost is not None:
            lines.append(f"  cost: about {money(cost, pricing.currency)}, if every answer is as long as its limit")
        described.append(lines)
    return Described(run, described, [number.exact for number in numbers])


def _numbers(
    options: Options,
    tasks: Sequence[RunTask],
    plans: Sequence[Plan],
    entries: Sequence[Entry],
    trace: TraceFacts | None,
) -> list[_Number]:
    units = [_unit(task) for task in tasks]
    weights = [task.weight for task in tasks]
    counted = _counted(options, plans, trace)
    if counted is None:
        expected = _arrivals(plans[0])
        if expected is None:
            return [_Number(_unknown(options)) for _ in tasks]
        parts = [expected * weight / sum(weights) for weight in weights]
        return [
            _Number(f"about {part:,.0f} {unit}, as they arrive", expected=part)
            for part, unit in zip(parts, units, strict=True)
        ]
    if not options.open and (sessions := [unit for unit in units if unit != "requests"]):
        several = f"one of its {sessions[0]} has several"
        return [_Number(f"its part of the {sum(counted):,} requests; {several}") for _ in tasks]
    limit = "" if options.steady_s is None else "at most "
    besides = "" if options.whole_run else ", besides those of ramp-up and warm-up"
    if (exact := _split(counted, weights, entries)) is not None:
        return [
            _Number(f"{limit}{n:,} {unit if n != 1 else unit[:-1]}{besides}", n if options.whole_run else None, n)
            for n, unit in zip(exact, units, strict=True)
        ]
    parts = [sum(counted) * weight / sum(weights) for weight in weights]
    return [
        _Number(f"{limit}about {part:,.0f} {unit}{besides}", expected=part)
        for part, unit in zip(parts, units, strict=True)
    ]


def _unit(task: RunTask) -> str:
    if task.step is not None:
        return "flows"
    return "conversations" if task.options.turns is not None else "requests"


def _steps(steps: Sequence[RunTask]) -> list[str]:
    """The steps of a flow, a line for each."""
    lines = []
    for each in steps:
        assert each.step is not None
        once = ", once for each user" if each.step.setup else ""
        taken = ", ".join(extraction.name for extraction in each.step.extracts)
        takes = f"; its answer gives {taken}" if taken else ""
        request = f"{each.resolved.api.method} {redact_url(each.resolved.target.url)}"
        lines.append(f"step {each.step.name}: {request}{once}{takes}")
    return [*lines, "the requests of the first flow are shown; what only the answers give stands by its name"]


def _counted(options: Options, plans: Sequence[Plan], trace: TraceFacts | None) -> list[int] | None:
    """Number of requests of each worker, or in the open model of arrivals; None: they are not counted."""
    if trace is None:
        given = [plan.requests for plan in plans if plan.requests is not None]
        return given or None
    if options.requests is None and options.steady_s is not None:
        return None
    total = min(options.requests or trace.columns.rows, trace.columns.rows)
    return [max(0, -(-(total - plan.worker) // plan.workers)) for plan in plans]


def _unknown(options: Options) -> str:
    """What is known of the number of requests if nobody knows it."""
    if options.course:
        return "as many as the search needs" if options.search is not None else "as many as its points need"
    return "as many as the trace has in this time" if options.trace is not None else "as many as the answers allow"


def _arrivals(plan: Plan) -> float | None:
    """How many requests are to arrive before the drain; None: that is not known."""
    drain = next((window.begin for window in plan.windows if window.kind is Phase.DRAIN), None)
    if plan.profile is None or drain is None or plan.profile.unit not in ("requests", "sessions"):
        return None
    return plan.profile.amount(0, drain)


def _split(counted: Sequence[int], weights: Sequence[int], entries: Sequence[Entry]) -> list[int] | None:
    """How many of the requests of all workers are of each task; None: to find it would take too long.

    counted: of each worker. The order of a mix repeats, so only the rest of the last round is followed.
    """
    if len(entries) == 1:
        return [sum(counted)]
    divided = sum(weights)
    if len(counted) * divided * len(entries) > MOST_FOLLOWED:
        return None
    found = [0] * len(entries)
    for worker, number in enumerate(counted):
        rounds, rest = divmod(number, divided)
        mix = Mix(entries, weights, worker, len(counted))
        for at, weight in enumerate(weights):
            found[at] += rounds * weight
        for _ in range(rest):
            entry, _ = mix.take()
            found[next(at for at, each in enumerate(entries) if each is entry)] += 1
    return found


def _about(options: Options, task: RunTask, file: PromptFacts | None, *, lengths: bool) -> list[str]:
    """What one kind of request is like. `lengths`: the limits of its answers are those of a trace."""
    lines = [f"prompt: {_prompt(options, file)}" if _has_prompt(task) else "prompt: none, its body is always the same"]
    if options.turns is not None:
        answers = "scripted answers" if options.answers == "scripted" else "the answers that the server has given"
        lines.append(
            f"conversations of {options.turns} turns: every later request has the texts before it, with {answers}; "
            "only first requests are shown"
        )
    if "max_tokens" in type(task.resolved.api).TAKES:
        lines.append(f"answer: {'as long as the rows of the trace say' if lengths else _answer(options, task)}")
    if _has_prompt(task):
        lines.append(f"expected: {_expected(options, task, file)}")
    limits = [
        ("connect", options.timeout_connect_s),
        ("first token", options.timeout_first_token_s),
        ("idle", options.timeout_idle_s),
        ("total", options.timeout_total_s),
    ]
    lines.append(f"time limits: {', '.join(f'{name} {duration(s)}' for name, s in limits if s) or 'none'}")
    if options.retries:
        lines.append(f"retries: at most {options.retries}")
    if slos := options.objectives.slos:
        lines.append(f"SLOs: {', '.join(slo.text for slo in slos)}")
    if options.checks:
        lines.append(f"checks: {', '.join(check.text for check in options.checks)}")
    if options.abandon:
        when = [] if options.abandon_after is None else [_time(options.abandon_after)]
        if options.abandon_after_tokens is not None:
            when.append(f"{options.abandon_after_tokens:,} tokens")
        lines.append(f"walking away: {share(options.abandon, 1)} of the users, after {' or '.join(when)}")
    return lines


def _has_prompt(task: RunTask) -> bool:
    """Whether the prompt is in the body of a request: a body of the user's own may have no place for it."""
    api, ask = task.resolved.api, task.ask
    bodies = {api.body(msgspec.structs.replace(ask, prompt=text, prompt_ids=())) for text in ("a", "b")}
    return len(bodies) > 1


def _time(think: Think) -> str:
    low, high = (duration(ns / 1e9) for ns in (think.low_ns, think.high_ns))
    if think.exponential:
        return f"a random time with the mean {low}"
    return low if low == high else f"{low} to {high}"


def _prompt(options: Options, file: PromptFacts | None) -> str:
    if file is not None:
        return describe_prompts(options, file).removeprefix("prompts: ")
    if options.prompt_tokens is not None:
        shared = ""
        if options.shared_prefix_tokens:
            groups = f" in {options.prefix_groups:,} groups" if options.prefix_groups > 1 else ""
            shared = f", the first {options.shared_prefix_tokens:,} of them shared{groups}"
        return f"made texts of {options.prompt_tokens} tokens{shared}; a run has other words each time"
    if options.prompt_ids:
        return f"{len(options.prompt_ids):,} token ids, the same in every request"
    origin = "the default text" if options.prompt == DEFAULT_PROMPT else "a text"
    return f"{origin} of {len(options.prompt):,} characters, the same in every request"


def _answer(options: Options, task: RunTask) -> str:
    if options.output_tokens is not None:
        text = f"limits of {options.output_tokens} tokens"
    else:
        text = f"at most {task.ask.limit:,} tokens"
    if options.ignore_eos:
        return f"{text}, used up by servers that know ignore_eos"
    return text if options.min_tokens is None else f"{text}, at least {options.min_tokens:,}"


def _expected(options: Options, task: RunTask, file: PromptFacts | None) -> str:
    """Tokens of a request in words."""
    input = token_rate.expected_input(task.ask, options.prompt_tokens, file)
    grows = "in the first turn, more in each later one" if options.turns is not None else "a request"
    exact = "" if options.prompt_tokens is None and options.prompt_ids else ", by 4 bytes a token"
    if options.prompt_tokens is not None:
        ratio = options.words_per_token
        exact = f", by {ratio:g} words a token" if ratio else ", by one word a token"
    return f"about {input:,.0f} input tokens {grows}{exact}"


def _cost(task: RunTask, number: _Number, pricing: Pricing, at: int, file: PromptFacts | None) -> float | None:
    """The expected cost of the requests of a task; None: it is not known."""
    tariff = pricing.tariffs[at] if at < len(pricing.tariffs) else None
    if number.expected is None or tariff is None or tariff.price is None:
        return None
    if task.options.turns is not None or task.step is not None:
        return None
    if not _has_prompt(task) or (file is not None and file.mean_output is not None):
        return None
    output = _mean_limit(task.options.output_tokens, tariff.limit)
    if not output:
        return None
    input = token_rate.expected_input(task.ask, task.options.prompt_tokens, file)
    return number.expected * (input * tariff.price.input + output * tariff.price.output) / PER


def _mean_limit(lengths: Lengths | None, limit: int) -> float:
    return float(limit) if lengths is None else lengths.mean


def _total_cost(pricing: Pricing, costs: Sequence[float | None], plan: Plan) -> list[str]:
    if pricing.per_hour:
        per_hour = f"{money(pricing.per_hour, pricing.currency)} an hour"
        ends = next((window.begin for window in plan.windows if window.kind is Phase.DRAIN), None)
        if ends is None:
            return [f"  cost: {per_hour}"]
        return [f"  cost: {money(pricing.per_hour * ends / 1e9 / SECONDS_PER_HOUR, pricing.currency)} ({per_hour})"]
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return []
    return [f"  cost: about {money(sum(known), pricing.currency)}, if every answer is as long as its limit"]
