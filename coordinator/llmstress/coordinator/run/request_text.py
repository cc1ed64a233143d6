"""What the requests of a task or of a step are like, in words: for the plan of a run. Pure functions."""

from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT
from llmstress.coordinator.config.target_url import redact_url
from llmstress.coordinator.prompts.read import PromptFacts
from llmstress.coordinator.run import token_rate
from llmstress.coordinator.run.prompt_files import describe_prompts
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.engine.control import Think
from llmstress.engine.flows.templates import names_in
from llmstress.engine.telemetry.formatting import duration, share


def request_lines(task: RunTask, file: PromptFacts | None, *, lengths: bool = False) -> list[str]:
    """What one kind of request is like, a line for each thing. `lengths`: the limits of its answers are those of a
    trace."""
    options = task.options
    lines = [
        f"prompt: {_prompt(options, task, file)}" if has_prompt(task) else "prompt: none, its body is always the same"
    ]
    if options.turns is not None:
        lines += _conversation(options)
    if "max_tokens" in type(task.resolved.api).TAKES:
        lines.append(f"answer: {'as long as the rows of the trace say' if lengths else _answer(options, task)}")
    if has_prompt(task):
        lines.append(f"expected: {_expected(options, task, file)}")
    return [*lines, *limit_lines(options)]


def limit_lines(options: Options) -> list[str]:
    """The limits of requests, what is expected of their answers, and who leaves early: a line for each thing."""
    lines = []
    limits = [
        ("connect", options.timeout_connect_s),
        ("first token", options.timeout_first_token_s),
        ("idle", options.timeout_idle_s),
        ("total", options.timeout_total_s),
    ]
    lines.append(f"time limits: {', '.join(f'{name} {duration(s)}' for name, s in limits if s) or 'none'}")
    if options.retries:
        lines.append(f"retries: at most {options.retries}")
    if options.on_status:
        lines.append(f"failures: {', '.join(f'{what}={action}' for what, action in options.on_status)}")
    if not options.keepalive:
        lines.append("connections: a new one for each request")
    elif options.requests_per_connection is not None:
        lines.append(f"connections: a new one after {options.requests_per_connection:,} requests")
    if slos := options.objectives.slos:
        lines.append(f"SLOs: {', '.join(slo.text for slo in slos)}")
    checks = [*(["finish reason"] if options.require_finish else []), *(check.text for check in options.checks)]
    if checks:
        lines.append(f"checks: {', '.join(checks)}")
    if options.abandon:
        when = [] if options.abandon_after is None else [time_words(options.abandon_after)]
        if options.abandon_after_tokens is not None:
            when.append(f"{options.abandon_after_tokens:,} tokens")
        lines.append(f"walking away: {share(options.abandon, 1)} of the users, after {' or '.join(when)}")
    return lines


def flow_lines(steps: Sequence[tuple[RunTask, Sequence[str]]]) -> list[str]:
    """The steps of a flow, with the lines about the requests of each. What all steps have in common is said once."""
    common = [line for line in steps[0][1] if all(line in about for _, about in steps)] if len(steps) > 1 else []
    lines = [f"each step: {line}" for line in common]
    for task, about in steps:
        assert task.step is not None
        once = ", once for each user" if task.step.setup else ""
        lines.append(f"step {task.step.name}: {task.resolved.api.method} {redact_url(task.resolved.target.url)}{once}")
        if task.step.think != Think():
            lines.append(f"  think time before it: {time_words(task.step.think)}")
        lines += [f"  {line}" for line in about if line not in common]
        lines += [f"  its answer gives {each.name} = {each}" for each in task.step.extracts]
    return [*lines, "the requests of the first flow are shown; what only the answers give stands by its name"]


def _conversation(options: Options) -> list[str]:
    answers = "scripted answers" if options.answers == "scripted" else "the answers that the server has given"
    lines = [
        f"conversations of {options.turns} turns: every later request has the texts before it, with {answers}; "
        "only first requests are shown"
    ]
    if options.think != Think():
        between = "" if options.open else ", and between two conversations of a stream"
        lines.append(f"think time: {time_words(options.think)} before each turn but the first{between}")
    return lines


def has_prompt(task: RunTask) -> bool:
    """Whether the prompt is in the body of a request: a body of the user's own may have no place for it."""
    api, ask = task.resolved.api, task.ask
    bodies = {api.body(msgspec.structs.replace(ask, prompt=text, prompt_ids=())) for text in ("a", "b")}
    return len(bodies) > 1


def time_words(think: Think) -> str:
    """A time that is drawn anew each time: `2s`, `1s to 3s`."""
    low, high = (duration(ns / 1e9) for ns in (think.low_ns, think.high_ns))
    if think.exponential:
        return f"a random time with the mean {low}"
    return low if low == high else f"{low} to {high}"


def _prompt(options: Options, task: RunTask, file: PromptFacts | None) -> str:
    if file is not None:
        return describe_prompts(options, file).removeprefix("prompts: ")
    if options.prompt_tokens is not None:
        shared = ""
        if options.shared_prefix_tokens:
            groups = f" in {options.prefix_groups:,} groups" if options.prefix_groups > 1 else ""
            first = "in the first turn " if options.turns is not None else ""
            shared = f", {first}the first {options.shared_prefix_tokens:,} of them shared{groups}"
        if options.token_ids:
            return f"made prompts of {options.prompt_tokens} token ids{shared}; a run has other ids each time"
        return f"made texts of {options.prompt_tokens} tokens{shared}; a run has other words each time"
    if options.prompt_ids:
        return f"{len(options.prompt_ids):,} token ids, the same in every request"
    origin = "the default text" if options.prompt == DEFAULT_PROMPT else "a text"
    filled = f", with {', '.join(names)} filled in" if (names := _variables(options, task)) else ""
    return f"{origin} of {len(options.prompt):,} characters{filled or ', the same in every request'}"


def _variables(options: Options, task: RunTask) -> list[str]:
    """The variables in the prompt and the system message of a step."""
    names = [] if task.step is None else [*names_in(options.prompt), *names_in(options.system or "")]
    return [f"{{{{{name}}}}}" for name in dict.fromkeys(names)]


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
        words = f"{options.words_per_token:g} words" if options.words_per_token else "one word"
        exact = f", by {words} a token" if options.tokenizer is None else ", by the tokenizer"
    besides = ", besides the values of its variables" if _variables(options, task) else ""
    return f"about {input:,.0f} input tokens {grows}{exact}{besides}"
