"""The options of the mock server, with their ranges, defaults and help texts."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, get_type_hints

import msgspec

from llmstress.engine.mock.delays import DelayDistribution
from llmstress.engine.mock.dialects.dialect import RetryAfterStyle
from llmstress.engine.mock.faults import FaultShare

MOST_TOKENS = 10**9
"""Maximum number of tokens of an answer."""


class IntRange(msgspec.Struct, frozen=True):
    """A range of integers, including both ends."""

    low: int
    high: int

    def at(self, share: float) -> int:
        """The number at `share` of the range, in [0, 1). Uniform shares give uniform numbers."""
        return self.low + int(share * (self.high - self.low + 1))

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"


def parse_range(text: str) -> IntRange:
    """Parse a number or a range of tokens: `64` or `10..200`.

    Raises:
        ValueError: the text has another form, or a number is out of range.
    """
    match = re.fullmatch(r"(\d{1,18})(?:\.\.(\d{1,18}))?", text.strip(), re.ASCII)
    found = IntRange(int(match[1]), int(match[2] or match[1])) if match else IntRange(0, 0)
    if not 1 <= found.low <= found.high <= MOST_TOKENS:
        raise ValueError(f"{text!r} is neither a number from 1 like 64 nor a range like 10..200")
    return found


DURATION_SUFFIX = "_ms"
"""Suffix of fields that are durations. `llmstress mock` takes the unit in the value, not in the name of the flag."""

_Ms = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]
"""Milliseconds up to an hour."""
_Rate = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class MockOptions(msgspec.Struct, frozen=True):
    """Options of the mock server; the metadata of each field contain its range and its help text.

    Raises:
        ValueError: a value is out of range, or two options exclude each other.
    """

    host: Annotated[str, msgspec.Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535, description="Port to listen on; 0: any free port.")] = 8000
    unix_socket: Annotated[str, msgspec.Meta(description="Path to listen on instead of host and port.")] = ""
    procs: Annotated[
        int, msgspec.Meta(ge=1, le=1024, description="Number of processes; they share the port and the limits.")
    ] = 1
    tls_cert: Annotated[str, msgspec.Meta(description="File with a certificate chain (PEM); enables https.")] = ""
    tls_key: Annotated[str, msgspec.Meta(description="File with the certificate's key, if it is a separate file.")] = ""
    tls_client_ca: Annotated[
        str,
        msgspec.Meta(
            description="File with CA certificates (PEM); clients must present a certificate signed by one of them."
        ),
    ] = ""

    ttft_ms: Annotated[_Ms, msgspec.Meta(description="Mean time from the request to the first token.")] = 200.0
    gap_ms: Annotated[_Ms, msgspec.Meta(description="Mean time between events.")] = 20.0
    delays: Annotated[DelayDistribution, msgspec.Meta(description="Distribution of the two delays.")] = "uniform"
    jitter: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=1,
            description="Largest deviation of a delay from its mean, as a share of the mean; for lognormal the "
            "standard deviation; without effect for exponential.",
        ),
    ] = 0.2
    slots: Annotated[
        int, msgspec.Meta(ge=0, le=10**9, description="Answers generated at the same time; others wait. 0: no limit.")
    ] = 0
    freeze_every_ms: Annotated[_Ms, msgspec.Meta(description="Interval between pauses in which nothing is sent.")] = 0.0
    freeze_for_ms: Annotated[_Ms, msgspec.Meta(description="Length of these pauses.")] = 0.0
    seed: Annotated[
        int,
        msgspec.Meta(ge=0, le=(1 << 63) - 1, description="Seed of the random numbers; each process derives its own."),
    ] = 0

    model: Annotated[str, msgspec.Meta(description="Name of the model.")] = "mock-7b"
    tokens: Annotated[
        IntRange,
        msgspec.Meta(description="Tokens per answer: N, or drawn uniformly from A..B; a request may ask for fewer."),
    ] = IntRange(64, 64)
    reasoning: Annotated[
        int, msgspec.Meta(ge=0, le=MOST_TOKENS, description="Reasoning tokens streamed before those of the answer.")
    ] = 0
    hidden_reasoning: Annotated[
        int, msgspec.Meta(ge=0, le=MOST_TOKENS, description="Reasoning tokens that appear only in the usage.")
    ] = 0
    tool_call: Annotated[bool, msgspec.Meta(description="Answer with a tool call instead of text.")] = False
    usage: Annotated[
        Literal["asked", "always", "never"],
        msgspec.Meta(description="When streams report usage, in APIs where the client decides."),
    ] = "asked"
    prefix_cache: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=MOST_TOKENS,
            description="Tokens that a cache of prompts holds; equal beginnings of prompts are reported as cached. "
            "Each process has its own part of it. 0: no cache.",
        ),
    ] = 0
    cache_block: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000, description="Tokens per block of the cache; only full blocks are cached.")
    ] = 16
    cached_ttft: Annotated[
        float,
        msgspec.Meta(
            ge=0,
            le=1,
            description="The time to the first token is multiplied by the share of the prompt that is not cached, but "
            "by no less than this.",
        ),
    ] = 0.1
    tokens_per_word: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=100,
            description="Tokens of a prompt for each word, token id and mark of a message, rounded to whole tokens.",
        ),
    ] = 1.0
    context_tokens: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=MOST_TOKENS,
            description="Tokens that a prompt and the limit of its answer may have together; more are refused with "
            "400. 0: no limit.",
        ),
    ] = 0
    no_done: Annotated[bool, msgspec.Meta(description="Leave out the end event, e.g. [DONE].")] = False

    tokens_per_event: Annotated[int, msgspec.Meta(ge=1, le=10_000, description="Tokens per event.")] = 1
    events_per_write: Annotated[
        int,
        msgspec.Meta(ge=1, le=10**6, description="Token events per write; all are sent when the last of them is due."),
    ] = 1
    one_byte_writes: Annotated[
        bool, msgspec.Meta(description="Send each byte as a chunk and write of its own; slow, for a few streams only.")
    ] = False
    crlf: Annotated[bool, msgspec.Meta(description="Use CRLF line ends in event streams.")] = False
    ping_every_ms: Annotated[
        _Ms, msgspec.Meta(description="Interval between the API's pings in a stream; 0: none.")
    ] = 0.0
    gzip: Annotated[bool, msgspec.Meta(description="Compress streams; flush after each write.")] = False
    content_length: Annotated[
        bool, msgspec.Meta(description="Send each stream in one piece at its end, with Content-Length.")
    ] = False
    close: Annotated[
        bool, msgspec.Meta(description="Send streams without chunks; the end of the connection ends them.")
    ] = False

    requests_per_s: Annotated[
        _Rate, msgspec.Meta(description="Requests per second; more are refused with 429. 0: no limit.")
    ] = 0.0
    tokens_per_s: Annotated[
        _Rate, msgspec.Meta(description="Tokens per second, input plus output; more are refused with 429. 0: no limit.")
    ] = 0.0
    burst_ms: Annotated[
        _Ms, msgspec.Meta(description="Burst: the requests and tokens of this period may be used at once.")
    ] = 1000.0
    retry_after_style: Annotated[
        RetryAfterStyle,
        msgspec.Meta(description="Form of retry-after in a 429; ms: seconds, and retry-after-ms as well."),
    ] = "seconds"

    login_ttl_ms: Annotated[
        float,
        msgspec.Meta(ge=1, le=3_600_000, description="How long a token of POST /login is valid."),
    ] = 3_600_000.0
    login_required: Annotated[
        bool, msgspec.Meta(description="Refuse requests for an answer with 401 unless their key is such a token.")
    ] = False
    keep_requests: Annotated[
        str,
        msgspec.Meta(
            description="For tests: append each request for an answer to this file, as a line of JSON without the key. "
            "The file has no maximum size."
        ),
    ] = ""

    fault: Annotated[
        tuple[FaultShare, ...],
        msgspec.Meta(description="A fault and the share of requests that get it, e.g. cut=5%; repeatable."),
    ] = ()
    faults_until: Annotated[
        int, msgspec.Meta(ge=0, le=10**12, description="Inject faults only into the first N requests; 0: into all.")
    ] = 0

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"out of range: {flag_of(name)} from {low:g} to {high:g}")
        if 0 < self.slots < self.procs or 0 < self.faults_until < self.procs:
            raise ValueError("--slots and --faults-until are shared by the processes and must be at least --procs")
        if 0 < self.prefix_cache < self.cache_block * self.procs:
            raise ValueError("--prefix-cache is shared by the processes and must be at least --cache-block for each")
        if self.tokens_per_word != 1 and (self.prefix_cache or self.context_tokens):
            raise ValueError("--tokens-per-word can't be used with --prefix-cache or --context-tokens")
        if sum(each.share for each in self.fault) > 1 + 1e-9:
            raise ValueError("--fault: the shares add up to more than 100%")
        if (self.freeze_every_ms or self.freeze_for_ms) and not 0 < self.freeze_for_ms < self.freeze_every_ms:
            raise ValueError("--freeze-for and --freeze-every must be given together, and --freeze-for must be shorter")
        if self.content_length and self.close:
            raise ValueError("--content-length and --close can't be used together")
        if (self.tls_key or self.tls_client_ca) and not self.tls_cert:
            raise ValueError("TLS needs a certificate: give its file")
        if self.unix_socket and self.tls_cert:
            raise ValueError("TLS over a Unix socket is not supported; drop the certificate")


def flag_of(field: str) -> str:
    """The name of the flag of `llmstress mock` for a field."""
    return "--" + field.removesuffix(DURATION_SUFFIX).replace("_", "-")


def _bounds() -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for name, hint in get_type_hints(MockOptions, include_extras=True).items():
        for meta in getattr(hint, "__metadata__", ()):
            if meta.ge is not None:
                found[name] = meta.ge, meta.le
    return found


_BOUNDS: Mapping[str, tuple[float, float]] = _bounds()
