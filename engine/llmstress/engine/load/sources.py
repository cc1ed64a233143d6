"""Where the single requests of a task come from: they are the same, or differ in their lengths, or in what is drawn."""

from collections.abc import Callable
from functools import lru_cache

import msgspec

from llmstress.engine.load.request_maker import RequestMaker
from llmstress.engine.prompts.synthetic import Drawn
from llmstress.engine.stream.task import Request, Source, Task
from llmstress.engine.trace import UNKNOWN

CACHED_BYTES = 16 << 20
"""Bytes of requests that a worker keeps. The answers of a trace have some thousand lengths, and a short request has
400 bytes; a request of a long prompt is encoded anew in less time than it takes to send it."""


def of_equal(maker: RequestMaker) -> Source:
    """Requests that have nothing of their own."""

    def requests(task: Task) -> Callable[[int], Request]:
        if maker.observes:
            return lambda number: maker.make(task, number)
        request = maker.unobserved(task)
        return lambda _: request

    return requests


def of_lengths(maker: RequestMaker, length: Callable[[int], int]) -> Source:
    """Requests each of which has its own limit of output tokens.

    length: of the answer to the request of a number, in tokens. 0 asks for 1 token, the least that APIs accept;
    `UNKNOWN`: for the limit of all.
    """

    def requests(task: Task) -> Callable[[int], Request]:
        @lru_cache(maxsize=max(1, CACHED_BYTES // maker.size))  # requests differ in digits alone
        def of_length(tokens: int) -> Request:
            return maker.unobserved(task) if tokens == UNKNOWN else maker.unobserved(task, _limited(tokens))

        if maker.observes:
            return lambda number: maker.observed(of_length(length(number)), number)
        return lambda number: of_length(length(number))

    return requests


def of_drawn(maker: RequestMaker, draw: Callable[[int], Drawn], length: Callable[[int], int] | None = None) -> Source:
    """Requests each of which has a prompt and a limit of its own.

    draw: gives what the request of a number asks. length: as for `of_lengths`; None: the lengths of the answers are
    those that are drawn.
    """

    def requests(task: Task) -> Callable[[int], Request]:
        if length is None:
            return lambda number: maker.make(task, number, draw(number))

        def request(number: int) -> Request:
            drawn, tokens = draw(number), length(number)
            if tokens != UNKNOWN:
                drawn = msgspec.structs.replace(drawn, output=max(1, tokens))
            return maker.make(task, number, drawn)

        return request

    return requests


def _limited(tokens: int) -> Drawn:
    return Drawn(None, max(1, tokens))
