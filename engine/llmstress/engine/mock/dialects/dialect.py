"""The interface between the mock server and each API."""

from typing import Literal, NamedTuple, Protocol

import msgspec

from llmstress.engine.mock.buckets import Allowance
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams, TokenKind
from llmstress.engine.mock.dialects.prompts import Token
from llmstress.engine.mock.http import Headers, Request

RetryAfterStyle = Literal["seconds", "ms", "date", "none"]
"""The form of `retry-after`: whole seconds; these and `retry-after-ms`; a date; no header."""


class RateLimitState(msgspec.Struct, frozen=True):
    """The state of the rate limits, as reported in headers."""

    requests: Allowance | None
    """None: no limit."""
    tokens: Allowance | None
    now_s: float
    """Unix time, for headers that contain a date."""
    retry_after_s: float | None = None
    """Seconds to wait before the next attempt; None: the request was not rejected."""
    retry_after: RetryAfterStyle = "seconds"


class Overflow(NamedTuple):
    """Why a request does not fit into the context."""

    prompt: int
    """Tokens of the prompt."""
    limit: int | None
    """The client's limit of output tokens."""
    context: int
    """Maximum number of tokens of prompt and answer together."""


class AnswerEncoder(Protocol):
    """Encodes one answer in the format of one API, without HTTP framing.

    A streamed answer is `opening`; then for each of `AnswerSpec.parts` its `part_start`, its token events and its
    `part_end`; then `closing`. For texts of equal length, `token_event` returns events of equal length. Events may be
    stored and sent again unless `fills_in` is set.
    """

    content_type: str
    """Content type of a stream."""
    end_mark: bytes
    """The last event of `closing` if it only marks the end, such as [DONE]; empty: the API has none."""
    fills_in: bool
    """Whether every event of a stream has to pass through `fill_in` right before it is sent."""

    def opening(self) -> list[bytes]:
        """Events that precede all others."""

    def part_start(self, kind: TokenKind) -> list[bytes]:
        """Events right before the first token of a part."""

    def token_event(self, kind: TokenKind, text: str) -> bytes:
        """An event with `text`, which may be several tokens long; one event for each choice."""

    def part_end(self, kind: TokenKind) -> list[bytes]:
        """Events right after the last token of a part."""

    def closing(self) -> list[bytes]:
        """The last events: finish reason, usage, and the end mark, if the API has one."""

    def ping(self) -> bytes:
        """The API's keep-alive event; empty: it has none."""

    def error_events(self, message: str, code: str) -> list[bytes]:
        """The last events of a stream that fails; none if the API can only close the connection.

        `code` as in `Dialect.error_body`.
        """

    def fill_in(self, event: bytes, number: int, tokens: int) -> bytes:
        """Fill in the parts of an event that depend on its position in the stream.

        `number` events precede it. `tokens` visible tokens of one choice are sent up to and including this event.
        """

    def body(self) -> bytes:
        """The JSON body of an answer that is not streamed."""


class Dialect(Protocol):
    """An API: parses requests and encodes answers, errors and headers."""

    @property
    def name(self) -> str:
        """Name of the API in the mock's statistics."""

    def read(self, request: Request) -> RequestParams:
        """Parse a request; unknown fields are ignored.

        Raises:
            ValueError: the body is not JSON, or a field that the mock uses is missing or has an invalid value.
        """

    def tokens(self, request: Request) -> list[list[Token]]:
        """The tokens of each prompt of a request that `read` accepts, together as many as its `prompt_tokens`."""

    def encoder(self, answer: AnswerSpec, params: RequestParams) -> AnswerEncoder:
        """The encoder of an answer to a request."""

    def overflow_message(self, overflow: Overflow) -> str:
        """What the API says about a request that does not fit into the context."""

    def error_body(self, status: int, message: str, code: str = "", id: str = "") -> bytes:
        """The JSON body of a response with an error status.

        `code` is one of OpenAI's, such as `insufficient_quota` or `server_error`; other APIs translate the codes they
        have. Without it the usual code of the status is used. `id`, as in `AnswerSpec`, is for APIs that repeat it.
        """

    def headers(self, id: str) -> Headers:
        """The API's headers of every response; `id` as in `AnswerSpec`."""

    def rate_limit_headers(self, limit: RateLimitState) -> Headers:
        """Headers that report the state of the rate limits and when to retry."""
