"""What came back of a request, as its user sees it."""

from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec

from llmstress.engine.api.answers import Answer as Said
from llmstress.engine.api.answers import ToolCall
from llmstress.engine.api.meaning import Usage
from llmstress.engine.outcome import CANCELLED, End
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.observer import Ending

T = TypeVar("T")

NO_USAGE = Usage()

VALIDATION = "validation"


class RequestFailed(Exception):
    """A request has failed, and `raise_for_status` was called. It is counted already, and ends its task quietly."""

    def __init__(self, answer: "Answer") -> None:
        """answer: what came."""
        super().__init__(f"{answer.error}: {answer.error_text}" if answer.error_text else answer.error)
        self.answer = answer


class Answer:
    """An answer that is over. Times are milliseconds from the start of the request, as the engine has stamped them at
    the socket: they do not depend on how fast the user reads."""

    __slots__ = (
        "_body",
        "_end",
        "_end_at",
        "_first_token",
        "_head",
        "_held",
        "_output",
        "_said",
        "api",
        "finish",
        "start",
        "usage",
    )

    def __init__(self, exchange: Exchange, ending: Ending, body: bytes | None) -> None:
        """exchange: the last attempt. body: without content coding; None: it was too long to be kept."""
        # the exchange itself is not kept: its request has the observer that has this answer, and such a circle stays in
        # memory until the collector runs, which is rarely
        self.api = exchange.task.api
        self.start = exchange.start
        """Stamp (monotonic ns) of the start of the last attempt."""
        self.finish = exchange.finish
        """The finish reason in the API's own words; empty: none came."""
        self.usage = exchange.usage or NO_USAGE
        """Token counts as the server reports them; None where it doesn't."""
        self._output = exchange.output[0]
        self._first_token = exchange.first_token
        self._end_at = exchange.end_at
        self._head = ending.head
        self._end = ending.end
        self._body = body
        self._said: Said | None = None
        self._held: Callable[[End], None] | None = None

    # --- what it says

    @property
    def text(self) -> str:
        """The text that a user sees; of http the body. It is decoded when it is looked at first."""
        return self._read().text

    @property
    def reasoning(self) -> str:
        """What the model thought, if the API shows it."""
        return self._read().reasoning

    @property
    def tools(self) -> tuple[ToolCall, ...]:
        """The tools that the model calls."""
        return self._read().tools

    @property
    def body(self) -> bytes:
        """The body as it came, without its content coding; empty if it was longer than 4 MiB."""
        return self._body or b""

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...

    def json(self, type: Any = Any) -> Any:
        """The JSON that the answer's text is; of http, that of the body.

        type: what is expected, as msgspec takes it; by default anything.

        Raises:
            ValueError: it is no JSON, or of another type.
        """
        return msgspec.json.decode(self.text.encode(), type=type)

    def _read(self) -> Said:
        if self._said is None:
            api = self.api
            self._said = Said() if self._body is None else api.read_text(self._body, streamed=api.streamed)
        return self._said

    # --- how it ended

    @property
    def ok(self) -> bool:
        """The request has not failed, and nobody has walked away from it."""
        return not self._end.failed and self._end.outcome != CANCELLED.outcome

    @property
    def error(self) -> str:
        """The class of its failure, such as `rate_limited`, or `cancelled`; empty: it is ok."""
        return "" if self.ok else self._end.outcome

    @property
    def error_text(self) -> str:
        """What explains the failure; empty: nothing does, or it is ok."""
        return "" if self.ok else self._end.text

    @property
    def status(self) -> int:
        """Status code of HTTP; 0: none came."""
        return self._head.status if self._head is not None else 0

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer; names in lower case."""
        return dict(self._head.headers) if self._head is not None else {}

    def raise_for_status(self) -> "Answer":
        """The answer itself, if it is ok.

        Raises:
            RequestFailed: it is not.
        """
        if not self.ok:
            raise RequestFailed(self)
        return self

    def check(self, passed: object, text: str = "a check of the scenario") -> bool:
        """Expect something of the answer: gives whether `passed` is true. If it isn't, the request counts as failed, in
        the class `validation`, with `text` as its words.

        An answer can be checked until the user's code waits for something else: then it is counted.

        Raises:
            RuntimeError: it has been counted already.
        """
        if passed or self._end.failed:
            return bool(passed)
        if self._held is None:
            raise RuntimeError(
                f"check({text!r}) comes too late: an answer is counted when the code that got it waits for something "
                "else; check it before the next await"
            )
        self._end = End(VALIDATION, text)
        return False

    # --- its figures

    @property
    def tokens(self) -> int:
        """Output tokens: of usage, else the token events."""
        return self._output

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token; None: no token came."""
        return self._since(self._first_token)

    @property
    def e2e_ms(self) -> float | None:
        """Time to the end of the answer; None: it has not ended."""
        return self._since(self._end_at)

    def _since(self, stamp: int) -> float | None:
        return (stamp - self.start) / 1e6 if stamp else None

    def __repr__(self) -> str:
        return f"<Answer {self._end.outcome} {self.status}, {self.tokens} tokens>"

    # --- for the load

    def hold(self, count: Callable[[End], None]) -> None:
        """The request waits to be counted with `count`, until `release`."""
        self._held = count

    def release(self) -> None:
        """Count the request, if it waits for that."""
        held, self._held = self._held, None
        if held is not None:
            held(self._end)
