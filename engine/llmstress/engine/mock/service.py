"""Decides how each request is answered: with an immediate response, a paced answer, or a fault.

No I/O, except for lines in the journal."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from llmstress.engine.mock.answering import answer_to
from llmstress.engine.mock.application import Action, Application, Refused
from llmstress.engine.mock.buckets import RateLimits
from llmstress.engine.mock.chunking import Chunking, StreamedReply
from llmstress.engine.mock.context import fit
from llmstress.engine.mock.dialects import openai_chat
from llmstress.engine.mock.dialects.answer_spec import AnswerSpec, RequestParams
from llmstress.engine.mock.dialects.dialect import AnswerEncoder, Dialect, Overflow, RateLimitState
from llmstress.engine.mock.dialects.prompts import Token
from llmstress.engine.mock.draws import NO_DRAW, Draw, Draws
from llmstress.engine.mock.endings import Termination, plan_for
from llmstress.engine.mock.faults import HARMLESS, Fault
from llmstress.engine.mock.framing import WireFormat
from llmstress.engine.mock.heads import head, response, stream_head
from llmstress.engine.mock.http import Headers, Request
from llmstress.engine.mock.journal import Journal
from llmstress.engine.mock.options import MockOptions
from llmstress.engine.mock.prefix_cache import PrefixCache, ttft_share
from llmstress.engine.mock.replies import Job, in_one_write, whole_reply
from llmstress.engine.mock.routes import Refusal, find_route
from llmstress.engine.mock.truth import TruthRecorder
from llmstress.engine.telemetry.shares import share

_REFUSALS = {
    Fault.HTTP_400: (400, "the request is invalid", ""),
    Fault.HTTP_401: (401, "the key is invalid", ""),
    Fault.HTTP_404: (404, "the model does not exist", ""),
    Fault.HTTP_429: (429, "rate limit reached", ""),
    Fault.HTTP_QUOTA: (429, "the quota is used up", "insufficient_quota"),
    Fault.HTTP_500: (500, "the server had an error", ""),
    Fault.HTTP_529: (529, "overloaded", ""),
}
"""Fault -> status, message, error code."""

_RETRY_AFTER_S = 1.0
"""Time to wait after a 429 that is a fault, not the result of a rate limit."""

_LONGEST_NAME = 1_000
"""Maximum length of the name of a model or a tool; every event of every choice repeats it."""
_MOST_ECHOED = 16 * 1024 * 1024
"""Maximum number of characters of prompts that an answer repeats."""

_PAGE = (
    b"<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n"
    b"<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n"
)


class Response(NamedTuple):
    """An immediate response."""

    status: int
    data: bytes


class Service:
    """Answers the requests of one process."""

    def __init__(
        self,
        options: MockOptions,
        index: int,
        record: TruthRecorder,
        clock_us: Callable[[], int],
        *,
        login_key: bytes,
        journal: Journal | None,
    ) -> None:
        """`index`: number of the process. `login_key`: signs tokens. `journal`: where received requests are written."""
        procs = options.procs
        self._options = options
        self._record = record
        self._ids = random.Random(f"{options.seed}/{index}/ids")
        self._clock_us = clock_us
        self._chunking = Chunking(options.tokens_per_event, options.events_per_write, not options.no_done)
        self._limits = RateLimits(
            options.requests_per_s / procs, options.tokens_per_s / procs, options.burst_ms / 1e3, clock_us()
        )
        until = share(options.faults_until, procs, index)
        self._draws = Draws(options.fault, f"{options.seed}/{index}", until)
        blocks = share(options.prefix_cache // options.cache_block, procs, index)
        self._cache = PrefixCache(blocks, options.cache_block) if blocks else None
        self._application = Application(login_key, int(options.login_ttl_ms * 1e3), record, clock_us)
        self._journal = journal
        self._uses_draws = bool(options.fault) or options.tokens.low != options.tokens.high

    def respond(self, request: Request, connection: int) -> Response | Job | Termination:
        """An immediate response, an answer to be sent, or, without a response, what happens to the connection.

        `connection`: number of the connection in this process, for the journal.
        """
        route = find_route(request)
        dialect, keep_alive = route.dialect, request.keep_alive
        if route.refusal is not None:
            return self._refusal_response(dialect, route.refusal, keep_alive)
        if route.action is not None:
            return self._application_response(dialect, route.action, request)
        if route.immediate is not None:
            try:
                body = route.immediate(request, self._options.model)
            except ValueError as error:
                return self._refusal_response(dialect, Refusal(400, f"invalid request: {error}"), keep_alive)
            except LookupError as error:
                return self._refusal_response(dialect, Refusal(404, str(error)), keep_alive, code="model_not_found")
            headers = self._headers(dialect, self._new_id())
            return Response(200, response(200, body, headers=headers, keep_alive=keep_alive))
        try:
            params = _checked_sizes(dialect.read(request))
        except ValueError as error:
            return self._refusal_response(dialect, Refusal(400, f"invalid request: {error}"), keep_alive)
        draw = self._draws.of(self._record.truth.requests) if self._uses_draws else NO_DRAW
        self._record.understood(dialect.name)
        asked, overflow = params.limit, None
        if self._options.context_tokens:
            fitted = fit(params, self._options.context_tokens)
            params, overflow = (params, fitted) if isinstance(fitted, Overflow) else (fitted, None)
        answer = answer_to(params, self._options, draw, id=self._new_id(), created=int(time.time()))
        rejection = self._rejection(request, dialect, answer, draw, overflow)
        ttft = 1.0
        if self._cache is not None and rejection is None and not params.dimensions:
            answer, ttft = self._from_cache(self._cache, dialect.tokens(request), answer)
        number = -1
        if self._journal is not None:
            number = self._journal.received(
                request,
                connection=connection,
                stamp_us=self._clock_us(),
                api=dialect.name,
                limit=asked,
                answer=answer,
                status=rejection.status if isinstance(rejection, Response) else None if rejection else 200,
            )
        if rejection is not None:
            return rejection
        job = self._job(request, dialect, params, answer, draw)
        return job if ttft == 1 and number < 0 else job._replace(ttft_share=ttft, number=number)

    def unparsable(self, status: int, message: str, head_only: Request | None) -> Response:
        """The response to a request that can't be parsed; the connection has to be closed.

        `head_only`: the request without its body, if its head could be parsed.
        """
        dialect = openai_chat if head_only is None else find_route(head_only).dialect
        return self._refusal_response(dialect, Refusal(status, message), keep_alive=False)

    def _application_response(self, dialect: Dialect, action: Action, request: Request) -> Response:
        try:
            body = self._application.respond(action, request)
        except Refused as refused:
            refusal = Refusal(refused.status, refused.message, refused.headers)
            return self._refusal_response(dialect, refusal, request.keep_alive)
        return Response(200, response(200, body, keep_alive=request.keep_alive))

    def _rejection(
        self, request: Request, dialect: Dialect, answer: AnswerSpec, draw: Draw, overflow: Overflow | None
    ) -> Response | Termination | None:
        """What is sent or done instead of an answer; None: the request is accepted."""
        name, keep_alive = dialect.name, request.keep_alive
        if self._options.login_required and not self._application.admits(request):
            self._record.rejected(name, "unauthorized")
            return self._refusal_response(dialect, Refusal(401, "the token is unknown or expired"), keep_alive)
        if overflow is not None:
            self._record.rejected(name, "too_long")
            refusal = Refusal(400, dialect.overflow_message(overflow))
            return self._refusal_response(dialect, refusal, keep_alive, code="context_length_exceeded")
        if self._limits and (
            wait_us := self._limits.admit(answer.prompt_tokens + answer.output_tokens, self._clock_us())
        ):
            self._record.rejected(name, "rate_limited")
            refusal = Refusal(429, "rate limit reached")
            return self._refusal_response(dialect, refusal, keep_alive, retry_after_s=wait_us / 1e6)
        if draw.fault is None:
            return None
        self._record.fault(draw.fault)
        early = self._early_fault(dialect, draw.fault, keep_alive)
        if early is not None:
            self._record.failed(name)
        return early

    def _from_cache(
        self, cache: PrefixCache, prompts: list[list[Token]], answer: AnswerSpec
    ) -> tuple[AnswerSpec, float]:
        """`answer` with its cached tokens, and the share of the time to the first token that it takes."""
        cached = sum(map(cache.enter, prompts))
        self._record.looked_up(answer.prompt_tokens, cached)
        answer = msgspec.structs.replace(answer, cached_tokens=cached)
        return answer, ttft_share(cached, answer.prompt_tokens, self._options.cached_ttft)

    def _early_fault(self, dialect: Dialect, fault: Fault, keep_alive: bool) -> Response | Termination | None:
        """What a fault sends or does instead of an answer; None: there is an answer."""
        if fault is Fault.RESET_BEFORE_HEAD:
            return Termination.RESET
        if fault is Fault.CLOSE_BEFORE_HEAD:
            return Termination.CLOSE
        if fault is Fault.HTTP_503_HTML:
            return Response(503, response(503, _PAGE, keep_alive=keep_alive, content_type="text/html"))
        if fault not in _REFUSALS:
            return None
        status, message, code = _REFUSALS[fault]
        wait = _RETRY_AFTER_S if fault is Fault.HTTP_429 else None
        return self._refusal_response(dialect, Refusal(status, message), keep_alive, code=code, retry_after_s=wait)

    def _refusal_response(
        self,
        dialect: Dialect,
        refusal: Refusal,
        keep_alive: bool,
        *,
        code: str = "",
        retry_after_s: float | None = None,
    ) -> Response:
        id = self._new_id()
        headers = (*refusal.headers, *self._headers(dialect, id, retry_after_s))
        body = dialect.error_body(refusal.status, refusal.message, code, id)
        return Response(refusal.status, response(refusal.status, body, headers=headers, keep_alive=keep_alive))

    def _job(self, request: Request, dialect: Dialect, params: RequestParams, answer: AnswerSpec, draw: Draw) -> Job:
        headers = self._headers(dialect, answer.id)
        encoder = dialect.encoder(answer, params)
        failing = draw.fault is not None and draw.fault not in HARMLESS
        if params.stream:
            return self._streamed(request, dialect.name, answer, encoder, headers, draw, failing)
        # an answer without tokens, such as embeddings, can also have a fault
        plan = plan_for(draw.fault, draw.position, max(1, sum(part.tokens for part in answer.parts)))
        unbounded = draw.fault is Fault.CUT_CLOSE_DELIMITED
        keep_alive = request.keep_alive and not unbounded

        def make_head(length: int) -> bytes:
            body_length = None if unbounded else length
            return head(200, "application/json", body_length, headers=headers, keep_alive=keep_alive)

        reply = whole_reply(
            answer, encoder.body, lambda: dialect.error_body(500, "the model has failed"), make_head, plan
        )
        inputs = answer.choices if params.dimensions else 0
        return Job(dialect.name, answer, b"", reply, keep_alive, failing, inputs)

    def _streamed(
        self,
        request: Request,
        api: str,
        answer: AnswerSpec,
        encoder: AnswerEncoder,
        headers: Headers,
        draw: Draw,
        failing: bool,
    ) -> Job:
        options = self._options
        unbounded = options.close or request.http_1_0 or draw.fault is Fault.CUT_CLOSE_DELIMITED
        held_back = options.content_length and draw.fault is not Fault.CUT_CLOSE_DELIMITED
        keep_alive = request.keep_alive and (held_back or not unbounded)
        wire_format = WireFormat(
            chunked=not (unbounded or held_back),
            crlf=options.crlf and encoder.content_type.startswith("text/event-stream"),
            gzip=options.gzip,
            one_byte_writes=options.one_byte_writes,
        )
        if options.gzip:
            headers = (*headers, ("Content-Encoding", "gzip"))
        reply = StreamedReply(answer, encoder, wire_format=wire_format, chunking=self._chunking, draw=draw)

        def make_head(length: int | None = None) -> bytes:
            return stream_head(
                encoder.content_type, headers=headers, chunked=wire_format.chunked, keep_alive=keep_alive, length=length
            )

        if held_back:
            return Job(api, answer, b"", in_one_write(reply, make_head), keep_alive, failing)
        return Job(api, answer, make_head(), reply, keep_alive, failing)

    def _headers(self, dialect: Dialect, id: str, retry_after_s: float | None = None) -> Headers:
        headers = dialect.headers(id)
        if not self._limits and retry_after_s is None:
            return headers
        now_us = self._clock_us()
        limit = RateLimitState(
            requests=self._limits.requests(now_us),
            tokens=self._limits.tokens(now_us),
            now_s=time.time(),
            retry_after_s=retry_after_s,
            retry_after=self._options.retry_after_style,
        )
        return (*headers, *dialect.rate_limit_headers(limit))

    def _new_id(self) -> str:
        return f"{self._ids.getrandbits(96):024x}"


def _checked_sizes(params: RequestParams) -> RequestParams:
    """`params`, checked.

    Raises:
        ValueError: the answer would repeat so many characters of the request that it might not fit into memory.
    """
    if max(len(params.model or ""), len(params.tool)) > _LONGEST_NAME:
        raise ValueError(f"a name has more than {_LONGEST_NAME} characters")
    if sum(map(len, params.echoes)) > _MOST_ECHOED:
        raise ValueError(f"the prompts to repeat have more than {_MOST_ECHOED} characters")
    return params
