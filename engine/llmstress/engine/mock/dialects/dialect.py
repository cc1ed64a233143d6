"""What an API has to offer to be spoken by the mock."""

from typing import Literal, Protocol

import msgspec

from llmstress.engine.mock.buckets import Allowance
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind
from llmstress.engine.mock.http import Headers, Request

RetryAfterStyle = Literal["seconds", "ms", "date", "none"]
"""`retry-after` in whole seconds; the same and `retry-after-ms`; as a date; not at all."""


class RateLimitState(msgspec.Struct, frozen=True):
    """What is left of a client's allowance."""

    requests: Allowance | None
    """None: as many as one likes."""
    tokens: Allowance | None
    now_s: float
    """Unix time, for those who name moments."""
    retry_after_s: float | None = None
    """Seconds to wait before the next attempt; None where this one wasn't refused."""
    retry_after: RetryAfterStyle = "seconds"
    """How the headers say so, if they do."""


class AnswerEncoder(Protocol):
    """One answer in the words of one API, not framed for HTTP.

    A streamed answer is `opening`; then for each of `AnswerSpec.parts` its `start`, its token events and its `end`; then
    `closing`. What `token_event` gives for texts of the same length is equally long, and may be kept and sent
    again, unless the speech is `fills_in`.
    """

    content_type: str
    """Of a stream."""
    end_mark: bytes
    """The event with which `closing` ends if that only marks the end, as [DONE] does; empty if the API has none."""
    fills_in: bool
    """Whether everything said in a stream has to pass through `fill_in` right before it is sent."""

    def opening(self) -> list[bytes]:
        """Events that come before everything else."""

    def part_start(self, kind: TokenKind) -> list[bytes]:
        """Events right before the first token of a part."""

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        """One event with `text`, which may be several tokens long; one for each choice if there are several."""

    def part_end(self, kind: TokenKind) -> list[bytes]:
        """Events right behind the last token of a part."""

    def closing(self) -> list[bytes]:
        """The last events: why it ends, usage; the last one of them is the end mark, if the API has one."""

    def ping(self) -> bytes:
        """What the API says while it has nothing to say; empty if it keeps still."""

    def error_events(self, message: str, code: str) -> list[bytes]:
        """The last events of a stream that fails; none if all that the API can do is to break off.

        `code` as in `Dialect.error_body`.
        """

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        """Fill in what depends on when it is said.

        `number` events were said before it. `tokens` of one choice are out with it: its own count, hidden ones don't.
        """

    def body(self) -> bytes:
        """The body of an answer that isn't streamed; JSON."""


class Dialect(Protocol):
    """An API."""

    @property
    def name(self) -> str:
        """Under which it is counted."""

    def read(self, request: Request) -> RequestParams:
        """Understand a request; what the mock doesn't know is ignored.

        Raises:
            ValueError: the body isn't JSON, or a field the mock uses is missing or has an impossible value.
        """

    def encoder(self, answer: AnswerSpec, params: RequestParams) -> AnswerEncoder:
        """Find the words for an answer."""

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """The JSON body of a response with an error status; without a `code` the usual one of that status.

        A `code` is one of OpenAI's, as `insufficient_quota` or `server_error`; other APIs translate what they know.
        `id` as in `AnswerSpec`, for the APIs that repeat it here.
        """

    def headers(self, id: str) -> Headers:
        """What the API adds to every response; `id` as in `AnswerSpec`."""

    def rate_limit_headers(self, limit: RateLimitState) -> Headers:
        """How the API tells what is left, and after how long to try again."""
