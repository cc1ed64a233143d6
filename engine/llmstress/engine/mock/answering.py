"""Decides the content of an answer, independent of the API. Pure functions."""

import msgspec

from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, document_tokens
from llmstress.engine.mock.draws import Draw
from llmstress.engine.mock.faults import Fault
from llmstress.engine.mock.options import MockOptions


def answer_to(params: RequestParams, options: MockOptions, draw: Draw, *, id: str, created: int) -> AnswerSpec:
    """The answer to a request; `id` and `created` as in `AnswerSpec`.

    The client's limit applies to all tokens charged as output. Hidden reasoning uses it up first, then visible
    reasoning, then the answer.
    """
    tool_call = params.must_call or (options.tool_call and not params.text_only)
    # an endless answer is longer than any document
    document = "" if draw.fault is Fault.NEVER_ENDS else params.tool_document if tool_call else params.document
    wanted = document_tokens(document) or options.tokens.at(draw.length)
    hidden, shown = options.hidden_reasoning, options.reasoning
    if params.reasoning == "none" or params.text_only:
        hidden, shown = 0, 0
    elif params.reasoning == "hidden":
        hidden, shown = hidden + shown, 0
    left = hidden + shown + wanted if params.limit is None else params.limit
    truncated = left < hidden + shown + wanted
    hidden = min(hidden, left)
    shown = min(shown, left - hidden)
    answer = AnswerSpec(
        id=id,
        created=created,
        model=params.model or options.model,
        prompt_tokens=round(params.prompt_tokens * options.tokens_per_word),
        reasoning_tokens=shown,
        hidden_reasoning_tokens=hidden,
        tokens=min(wanted, left - hidden - shown),
        tool_call=tool_call,
        json=params.json,
        document=document,
        finish_reason="length" if truncated else "tool_call" if tool_call else "stop",
        usage=_usage(params, options, draw),
        reports=params.reports,
        choices=params.choices,
    )
    return _with_fault(answer, draw)


def _usage(params: RequestParams, options: MockOptions, draw: Draw) -> bool:
    """Whether the answer reports usage."""
    if params.usage is None:
        return True
    if draw.fault is Fault.NO_USAGE or options.usage == "never":
        return False
    return params.usage or options.usage == "always"


def _with_fault(answer: AnswerSpec, draw: Draw) -> AnswerSpec:
    """`answer` with the changes of those faults that change its content."""
    if draw.fault is Fault.EMPTY:
        return msgspec.structs.replace(
            answer, reasoning_tokens=0, hidden_reasoning_tokens=0, tokens=0, finish_reason="stop"
        )
    if draw.fault is Fault.FILTERED:
        total = answer.reasoning_tokens + answer.tokens
        sent = min(total, 1 + int(draw.position * (total - 1)))
        reasoning = min(answer.reasoning_tokens, sent)
        return msgspec.structs.replace(
            answer, reasoning_tokens=reasoning, tokens=sent - reasoning, finish_reason="content_filter"
        )
    return answer
