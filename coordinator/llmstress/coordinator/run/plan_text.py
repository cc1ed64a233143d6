"""The plan of a run in words: how many requests of which kind, what they ask, what they may cost. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.prompts.prepared import Prepared
from llmstress.coordinator.prompts.read import PromptFacts
from llmstress.coordinator.run import token_rate
from llmstress.coordinator.run.request_text import flow_lines, has_prompt, request_lines, time_words
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.run.script_text import script_lines, user_lines
from llmstress.coordinator.traces.read import TraceFacts
from llmstress.engine.control import Plan, Think
from llmstress.engine.load.mix import Entry, Mix
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.telemetry.cost import PER, SECONDS_PER_HOUR, Pricing
from llmstress.engine.telemetry.formatting import money, share
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
    if options.think != Think() and not options.converses:
        run.append(f"  think time: {time_words(options.think)} between two {_between(wholes)} of a stream")
    if options.max_cost is not None:
        run.append(f"  ends when it has cost {money(options.max_cost, pricing.currency)} (--max-cost)")
    total = sum(task.weight for task in wholes)
    run += user_lines(options, wholes)
    lengths = plans[0].replay is not None and plans[0].replay.lengths
    described = []
    for task, number, cost in zip(wholes, numbers, costs, strict=True):
        lines = [f"{f'task {task.name}' if task.name else 'requests'}: {number.text}"]
        if task.name:
            part = f"{share(task.weight, total)}{_as_users(options, task, wholes)}"
            lines.append(f"  weight {task.weight} of {total:,}: {part}")
        if task.own.script:
            about = script_lines(task)
        elif task.step is None:
            about = request_lines(task, prepared.file(task.options), lengths=lengths)
        else:
            steps = [each for each in tasks if each.own is task.own]
            about = flow_lines([(each, request_lines(each, prepared.file(each.options))) for each in steps])
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
    if not options.open and any(task.own.script for task in tasks):
        part = f"its part of the {sum(counted):,} requests; users in Python decide how many they need"
        return [_Number(part) for _ in tasks]
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
    if task.own.script:
        return "times"
    if task.step is not None:
        return "flows"
    return "conversations" if task.options.turns is not None else "requests"


def _as_users(options: Options, task: RunTask, tasks: Sequence[RunTask]) -> str:
    """What the share of a task in Python depends on. A user of the closed model does as many tasks as it has time for,
    so user classes whose tasks are short do more of them."""
    others = any(each.own.script.partition(".")[0] != task.own.script.partition(".")[0] for each in tasks)
    if options.open or not task.own.script or not others:
        return ""
    return ", if the tasks of all users last equally long"


def _between(tasks: Sequence[RunTask]) -> str:
    units = list(dict.fromkeys(_unit(task) for task in tasks))
    return units[0] if len(units) == 1 else "requests or flows"


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
    if len(entries) < len(weights):  # users in Python mix their tasks themselves
        return None
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


def _cost(task: RunTask, number: _Number, pricing: Pricing, at: int, file: PromptFacts | None) -> float | None:
    """The expected cost of the requests of a task; None: it is not known."""
    tariff = pricing.tariffs[at] if at < len(pricing.tariffs) else None
    if number.expected is None or tariff is None or tariff.price is None:
        return None
    if task.options.turns is not None or task.step is not None or task.own.script:
        return None
    if not has_prompt(task) or (file is not None and file.mean_output is not None):
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
