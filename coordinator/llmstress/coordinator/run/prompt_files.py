"""What a file of prompts means for a run: whether its API can send it, and what is not used as it stands there. Pure
functions."""

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.prompts.read import PromptFacts
from llmstress.engine.api import APIS
from llmstress.engine.api.base import Api
from llmstress.engine.prompts.order import Order


def check_prompt_file(prompts: PromptFacts, api: Api, options: Options) -> None:
    """Check that requests of this API can ask with the rows of a file.

    Raises:
        UsageError: they can't.
    """
    name, takes = f"--prompts {prompts.source.path}", type(api).TAKES
    chosen = next((each for each, kind in APIS.items() if kind is type(api)), "this API")
    for facts in prompts.facts:
        if facts.with_ids and "prompt_ids" not in takes:
            takers = ", ".join(other for other, kind in APIS.items() if "prompt_ids" in kind.TAKES)
            raise UsageError(f"{name} has token ids, which {chosen} doesn't take: choose an API that does ({takers})")
        if options.turns is not None and facts.texts < facts.rows:
            raise UsageError(f"{name} has rows whose turns are no texts, so --turns can't be used: drop it")
        if options.turns is not None and options.turns.most > 1 and facts.rows == facts.turns.get(1, 0):
            rows = "its only row" if facts.rows == 1 else f"each of its {facts.rows:,} rows"
            raise UsageError(
                f"{name}: {rows} has one turn ({facts.reading.format} format), so --turns "
                f"{options.turns} can't make conversations of them: use rows with turns or conversations, or drop "
                "--turns"
            )
        if not facts.bodies:
            continue
        if options.system is not None:
            raise UsageError(f"{name} has whole bodies, so --system can't be used: put the text into the bodies")
        own = content_keys(api)
        if not own:
            raise UsageError(f"{name} has whole bodies, and {chosen} builds its body from --body: choose another API")
        if wrong := [key for key in facts.bodies if key not in own]:
            raise UsageError(
                f"{name} has bodies with {wrong[0]}, and those of {chosen} have {' or '.join(sorted(own))}: "
                "choose the API that the bodies were written for with --api"
            )


def content_keys(api: Api) -> set[str]:
    """Members of the API's body in which the prompt stands; empty: its body is not a JSON object."""
    bodies = []
    for prompt in ("one", "two"):
        try:
            bodies.append(
                msgspec.json.decode(
                    api.encode(msgspec.structs.replace(api.ask, prompt=prompt, extra={}, prompt_ids=()))
                )
            )
        except ValueError:
            return set()
    if not all(isinstance(each, dict) for each in bodies) or api.ask.body is not None:
        return set()
    return {key for key, value in bodies[0].items() if bodies[1].get(key) != value}


def prompt_warnings(prompts: PromptFacts, options: Options) -> list[str]:
    """What of a file is not used as it stands there."""
    found = []
    name = f"--prompts {prompts.source.path}"
    for facts in prompts.facts:
        if facts.bad:
            first = facts.bad_rows[0]
            of = f"{facts.bad:,} of {facts.bad + facts.rows:,}"
            found.append(f"{name}: bad rows left out: {of}; line {first.line}: {first.why}")
        if options.turns is not None:
            fewer = sum(n for turns, n in facts.turns.items() if turns < options.turns.fewest)
            if fewer:
                found.append(
                    f"{name}: {fewer:,} of {facts.rows:,} rows have fewer than {options.turns.fewest:,} turns: their "
                    f"conversations are shorter than --turns {options.turns} asks for"
                )
        if facts.left_out:
            found.append(f"{name}: {facts.left_out:,} rows have no question with an answer, and are left out")
    if options.once and prompts.rows < options.total_streams:
        found.append(
            f"{name} has {prompts.rows:,} rows, fewer than the {options.total_streams:,} streams: with --once some "
            "streams send nothing"
        )
    return found


def describe_prompts(options: Options, prompts: PromptFacts | None) -> str:
    """The line of the banner for a file of prompts; empty: there is none."""
    if prompts is None:
        return ""
    rows = " × ".join(f"{each.rows:,}" for each in prompts.facts)
    of = f"{rows} row{'' if rows == '1' else 's'} of {prompts.source.path}"
    form = prompts.facts[0].reading
    kind = f"{form.format} format" + (", CSV" if form.columns else "")
    return f"prompts: {of} ({kind}), {order_of(options, prompts)}{', salted' if options.salt else ''}"


def order_of(options: Options, prompts: PromptFacts) -> Order:
    """The order in which the rows are used."""
    given: Order | None = options.order
    return given or ("random" if prompts.pools else "sequential")
