"""What a user needs of the load that runs it."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from llmstress.engine.scenario.answer import Answer
from llmstress.engine.stream.observer import Observer


class Wish(NamedTuple):
    """A request as a user wants it."""

    kind: str
    """`chat`, `responses`, `messages`, `completions`, `embeddings`, `http` or `sse`."""
    name: str
    """Of its statistics."""
    ask: Mapping[str, Any] = {}
    """Fields of `Ask` that the request has of its own."""
    headers: Mapping[str, str] = {}
    """In place of those of the run that have the same names."""
    path: str = ""
    """Path and query on the host of the run, or a URL of this host; empty: the endpoint of the kind."""
    body: bytes | None = None
    """The body as it is sent; None: that of the API."""


class Port(Protocol):
    """The load's side of one user."""

    loop: asyncio.AbstractEventLoop
    number: int
    """Of the user in the run, from 1 on."""
    random: random.Random
    """The user's own random numbers."""

    @property
    def is_cut(self) -> bool:
        """The load has cut the user off: it asks for nothing more."""

    def begin(self, wish: Wish, observer: Observer, give_up: Callable[[], None]) -> None:
        """Begin a request as soon as its connection stands. `give_up` is called if it is not over when the task is.

        Raises:
            ValueError: there can be no such request; the text says why.
        """

    def resume(self, future: "asyncio.Future[None]") -> None:
        """Let the code go on that waits for this future, in one of the next turns of the loop."""

    def ended(self, observer: Observer) -> None:
        """The request with this observer is over."""

    def held(self, answer: Answer) -> None:
        """The answer is to be released when the code that got it waits for something else."""

    def clock(self) -> int:
        """Now, as a stamp (monotonic ns)."""

    def secret(self, name: str) -> str:
        """The value of an environment variable, which no output shows.

        Raises:
            LookupError: there is none; the text says what to do.
        """
