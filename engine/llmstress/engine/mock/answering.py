"""Decides what is answered to a request: pure, whatever the API."""

import msgspec

from llmstress.engine.mock.dialects.answer_spec import Asked, Said, pieces_in
from llmstress.engine.mock.draws import Fate
from llmstress.engine.mock.faults import Fault
from llmstress.engine.mock.options import MockOptions


def answer_to(asked: Asked, options: MockOptions, fate: Fate, *, id: str, created: int) -> Said:
    """What the server says; `id` and `created` as in `Said`.

    The client's limit counts everything that is charged as output: what is thought, hidden or shown, uses it up first.
    """
    tool_call = asked.must_call or (options.tool_call and not asked.text_only)
    # what never ends is longer than any document
    document = "" if fate.fault is Fault.NEVER_ENDS else asked.tool_document if tool_call else asked.document
    wanted = pieces_in(document) or options.tokens.at(fate.length)
    hidden, shown = options.hidden_reasoning, options.reasoning
    if asked.reasoning == "none" or asked.text_only:
        hidden, shown = 0, 0
    elif asked.reasoning == "hidden":
        hidden, shown = hidden + shown, 0
    left = hidden + shown + wanted if asked.limit is None else asked.limit
    cut = left < hidden + shown + wanted
    hidden = min(hidden, left)
    shown = min(shown, left - hidden)
    said = Said(
        id=id,
        created=created,
        model=asked.model or options.model,
        prompt_tokens=asked.prompt_tokens,
        reasoning_tokens=shown,
        hidden_reasoning_tokens=hidden,
        tokens=min(wanted, left - hidden - shown),
        tool_call=tool_call,
        json=asked.json,
        document=document,
        ending="length" if cut else "tool_call" if tool_call else "stop",
        usage=_usage(asked, options, fate),
        tells=asked.tells,
        choices=asked.choices,
    )
    return _changed(said, fate)


def _usage(asked: Asked, options: MockOptions, fate: Fate) -> bool:
    if asked.usage is None:
        return True
    if fate.fault is Fault.NO_USAGE or options.usage == "never":
        return False
    return asked.usage or options.usage == "always"


def _changed(said: Said, fate: Fate) -> Said:
    """`said` with what a fault changes of it."""
    if fate.fault is Fault.EMPTY:
        return msgspec.structs.replace(said, reasoning_tokens=0, hidden_reasoning_tokens=0, tokens=0, ending="stop")
    if fate.fault is Fault.FILTERED:
        total = said.reasoning_tokens + said.tokens
        some = min(total, 1 + int(fate.at * (total - 1)))
        thought = min(said.reasoning_tokens, some)
        return msgspec.structs.replace(said, reasoning_tokens=thought, tokens=some - thought, ending="content_filter")
    return said
