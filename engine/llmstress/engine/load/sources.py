"""Where the requests of a task come from, if they differ (`stream/task.py` has the source of equal ones)."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.prompts.synthetic import Drawn
from llmstress.engine.stream.task import Request, Source, Task
from llmstress.engine.trace import UNKNOWN

CACHED_BYTES = 16 << 20
"""Bytes of requests that a worker keeps. The answers of a trace have some thousand lengths, and a short request has
400 bytes; a request of a long prompt is encoded anew in less time than it takes to send it."""


def of_lengths(build: Callable[[Ask], bytes], ask: Ask, length: Callable[[int], int]) -> Source:
    """Requests that ask `ask`, each with its own limit of output tokens.

    Args:
        build: head and body of a request.
        ask: has the limit of requests whose length is `UNKNOWN`.
        length: of the answer to the request of a number, in tokens. 0 asks for 1 token, the least that APIs accept.
    """
    size = len(build(ask))  # requests differ in digits alone

    def requests(task: Task) -> Callable[[int], Request]:
        @lru_cache(maxsize=max(1, CACHED_BYTES // size))
        def of_length(tokens: int) -> Request:
            asked = ask if tokens == UNKNOWN else msgspec.structs.replace(ask, max_tokens=max(1, tokens))
            return Request(task, build(asked), asked.least_output, 0, 0 if tokens == UNKNOWN else asked.limit)

        return lambda number: of_length(length(number))

    return requests


def of_drawn(
    build: Callable[[Ask], bytes], ask: Ask, make: Callable[[int], Drawn], length: Callable[[int], int] | None = None
) -> Source:
    """Requests that ask `ask`, each with a prompt and a limit of its own.

    Args:
        build: head and body of a request.
        ask: has what the requests have in common.
        make: gives prompt and limit of the request of a number.
        length: as for `of_lengths`; None: the lengths of the answers are those of `make`.
    """
    limited = takes_lengths(build, ask)

    def requests(task: Task) -> Callable[[int], Request]:
        def request(number: int) -> Request:
            drawn, tokens = make(number), UNKNOWN if length is None else length(number)
            changes = changes_by(drawn, ask)
            if tokens != UNKNOWN:
                changes["max_tokens"] = max(1, tokens)
            asked = msgspec.structs.replace(ask, **changes)
            output = asked.limit if limited and "max_tokens" in changes else 0
            made_words = drawn.words * ask.batch
            return Request(
                task, build(asked), asked.least_output, drawn.input * ask.batch, output, made_words=made_words
            )

        return request

    return requests


def changes_by(drawn: Drawn, ask: Ask) -> dict[str, Any]:
    """The fields of `ask` that a request has of its own."""
    changes: dict[str, Any] = {}
    if drawn.output is not None:
        changes["max_tokens"] = drawn.output
    if drawn.prompt is not None:
        changes["prompt"] = drawn.prompt
    elif drawn.ids:
        changes["prompt_ids"] = drawn.ids
    elif drawn.messages:
        changes["messages"] = drawn.messages
    if drawn.body:
        changes["extra"] = {**drawn.body, **ask.extra}
    return changes


def takes_prompts(body: Callable[[Ask], bytes], ask: Ask) -> bool:
    """Whether the prompt is in the body of a request."""
    bodies = {body(msgspec.structs.replace(ask, prompt=prompt)) for prompt in ("one", "two")}
    return len(bodies) > 1


def takes_lengths(body: Callable[[Ask], bytes], ask: Ask) -> bool:
    """Whether the limit of output tokens is in the body of a request. It is not if the API has none, or if the user's
    own JSON replaces or removes it."""
    bodies = {body(msgspec.structs.replace(ask, max_tokens=tokens)) for tokens in (1, 2)}
    return len(bodies) > 1
