"""What a probe found out: one frozen description without secrets, from which text and JSON are made; schema
`llmstress.probe/1`: additive keys keep the number."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from llmstress.coordinator.output.schema import Host, schema_of
from llmstress.coordinator.probe.raw import Raw, raw_of
from llmstress.engine.api.base import Api
from llmstress.engine.api.lenient import is_ping
from llmstress.engine.api.meaning import Meaning, Usage
from llmstress.engine.http import response
from llmstress.engine.http.body import succeeded
from llmstress.engine.http.decompress import MAX_BURST, decoded_prefix
from llmstress.engine.http.response import Malformed, ResponseReader
from llmstress.engine.secrets import blank_out, blank_reason
from llmstress.engine.telemetry.collecting import collected
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.notes import BOUNDS, median_of, notes_of_answers, notes_of_fields
from llmstress.engine.witness import Evidence, Heard

SCHEMA = "llmstress.probe/1"

MOST_TEXT = 1000
"""Characters of an event that are kept."""

_METRICS = ("connect", "ttfb", "ttft", "ttfa", "tpot", "stall", "e2e")


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before anything is sent."""

    version: str
    """Of llmstress."""
    host: Host
    started_at: str
    """UTC, ISO 8601."""
    method: str
    url: str
    """The endpoint, without secrets."""
    api: str
    api_because: str
    model: str
    """Empty: none is named."""
    model_because: str
    """Empty: the API needs none."""
    streamed: bool
    """A stream is asked for."""
    addresses: tuple[str, ...]
    """Empty: DNS knows none, or it is a Unix socket."""
    way: str
    """What is special about the way there; empty: nothing."""
    proxied: bool
    notes: tuple[str, ...]


class Attempt(msgspec.Struct, frozen=True):
    """An address that a connection was tried to."""

    address: str
    at_ms: float
    took_ms: float
    error: str
    """Empty: it stands."""


class Connection(msgspec.Struct, frozen=True):
    """The connection; a part of its making is None where there was none, or where nobody could tell."""

    local: str
    peer: str
    tls: str
    """Version and cipher; empty: none."""
    dns_ms: float | None
    tcp_ms: float | None
    tls_ms: float | None
    """With the opening of the tunnel, if it goes through a proxy."""
    repeated: int
    """Segments that had to be sent again before it stood: a lost first one costs a second."""
    kept: bool
    """The server keeps it for another request."""


class Asked(msgspec.Struct, frozen=True):
    """The request."""

    bytes: int
    body_bytes: int
    headers: tuple[str, ...]
    """Their names."""


class Head(msgspec.Struct, frozen=True):
    """The head of the answer."""

    status: int
    http: str
    headers: dict[str, str]


class Read(msgspec.Struct, frozen=True):
    """What came at once."""

    at_ms: float
    bytes: int
    """0: the end of the connection."""
    tokens: int
    """Token-bearing events that it completed."""


class Seen(msgspec.Struct, frozen=True):
    """An event of a stream, a comment in it, or an answer that came as a whole."""

    read: int
    """Number of the read that completed it, from 1."""
    at_ms: float
    gap_ms: float | None
    """Since the one before."""
    what: tuple[str, ...]
    """What it was taken for: `token`, `reasoning`, `answer` (a whole one without tokens), `finish`, `usage`,
    `done`, `error`, `malformed`, `unknown`, `comment`, `ping`, `foreign` (no message of the API), or `nothing`: it
    doesn't count."""
    name: str
    bytes: int
    data: str
    """The beginning of it."""


class Tokens(msgspec.Struct, frozen=True):
    """Tokens, as a run would count them."""

    output: int
    source: str
    """`usage`, `events`, or `unknown`: nobody counted them."""
    input: int | None
    cached_input: int | None
    reasoning: int | None
    events: int
    """Token-bearing events."""
    events_shared: int
    """Those that shared their read with another one."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what became of it. Times are milliseconds since its start, latencies those of a run's summary."""

    schema: str
    where: Where
    attempts: tuple[Attempt, ...]
    connection: Connection | None
    asked: Asked
    head: Head | None
    at_ms: dict[str, float]
    """`sent`, `head`, `first_token`, `first_answer`, `last_token`, `last_word`, `end`: those that came."""
    latency_ms: dict[str, float]
    gaps_ms: tuple[float, ...]
    """Between token-bearing events."""
    reads: tuple[Read, ...]
    events: tuple[Seen, ...]
    tokens: Tokens
    collected: str
    """How the token events were collected on the way, in a run's words; empty: they were not."""
    tried_again: bool
    """A gateway says that this was not its first attempt."""
    finish: str
    """The finish reason; empty: none came."""
    outcome: str
    """The class in which a run would count the request."""
    words: str
    """What explains a failure: the server's words, or ours."""
    hint: str
    """What to do about a failure; empty: nobody knows."""
    remarks: tuple[str, ...]
    """What is worth knowing before a run."""
    raw: Raw | None
    """The bytes; null: they were not asked for."""
    whole: bool = False
    """The answer came as a whole, and not as a stream."""
    body: str = ""
    """The beginning of the body of a good status in which there is no event; empty: there are events, or no body."""
    tpot_bounds_ms: tuple[float, float] | None = None
    """By usage and by events, where tpot can't be determined; null: it can, or there is none."""
    noted: tuple[str, ...] = ()
    """What was odd about a good answer, in a run's words."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of a probe; `probe.schema.json` beside this file is what it gave."""
    return schema_of(Probe, SCHEMA)


def probe_of(where: Where, seen: Evidence, api: Api, secrets: Sequence[str], *, by_name: bool, raw: bool) -> Probe:
    """What `seen` says, without `secrets`; without a hint and remarks yet.

    by_name: the connector had to ask DNS for the host. raw: the bytes are wanted, too.
    """
    last, exchange = seen.ending, seen.exchange
    stamps = {
        "sent": exchange.sent,
        "head": exchange.head_at,
        "first_token": exchange.first_token,
        "first_answer": exchange.first_answer,
        "last_token": exchange.last_token,
        "last_word": exchange.end_at,
        "end": last.stamp,
    }
    whole = _whole_answer(seen, api)
    heard = [*seen.heard, *whole]
    latency = seen.part.latency_failed if last.end.failed else seen.part.latency
    return Probe(
        schema=SCHEMA,
        where=where,
        attempts=tuple(
            Attempt(each.address, _ms(each.begin - exchange.start), _ms(each.end - each.begin), each.error)
            for each in seen.attempts
        ),
        connection=_connection(seen, by_name=by_name),
        asked=_asked(seen.request),
        head=_head(last.head, secrets),
        at_ms={name: _ms(stamp - exchange.start) for name, stamp in stamps.items() if stamp},
        latency_ms={name: latency[name].sum / 1000 for name in _METRICS if name in latency and latency[name].count},
        gaps_ms=tuple(gap / 1000 for gap in exchange.gaps),
        reads=_reads(seen),
        events=_events(heard, exchange.start, secrets),
        tokens=_tokens(seen),
        collected=found.text if (found := collected(seen.part.counters, seen.signs)) is not None else "",
        tried_again=seen.part.counters.tried_again > 0,
        finish=blank_reason(exchange.finish, secrets),
        outcome=last.end.outcome,
        words=blank_out(last.end.text, secrets),
        hint="",
        remarks=(),
        raw=_raw(seen, secrets) if raw else None,
        whole=bool(whole),
        tpot_bounds_ms=_bounds(seen.part),
        noted=(*notes_of_answers(seen.part), *notes_of_fields(seen.fields)),
        body="" if any(each.meaning is not None for each in heard) else blank_out(_body_of_no_event(seen), secrets),
    )


def _ms(nanoseconds: int) -> float:
    """Whole microseconds, as the histograms have them."""
    return nanoseconds // 1000 / 1000


def _connection(seen: Evidence, *, by_name: bool) -> Connection | None:
    made, exchange = seen.connection, seen.exchange
    if made is None:
        return None
    tcp = next((each for each in seen.attempts if not each.error), None)
    return Connection(
        local=made.local,
        peer=made.peer,
        tls=made.tls,
        dns_ms=_ms(seen.attempts[0].begin - exchange.start) if by_name and seen.attempts else None,
        tcp_ms=_ms(tcp.end - tcp.begin) if tcp is not None else None,
        tls_ms=_ms(exchange.sent - tcp.end) if tcp is not None and made.tls else None,
        repeated=made.repeated,
        kept=seen.ending.keep_alive,
    )


def _asked(request: bytes) -> Asked:
    head, _, body = request.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].decode("latin-1") for line in head.split(b"\r\n")[1:]]
    return Asked(len(request), len(body), tuple(names))


def _head(head: response.Head | None, secrets: Sequence[str]) -> Head | None:
    if head is None:
        return None
    headers = {
        blank_out(name, secrets): "***" if name == "set-cookie" else blank_out(value, secrets)
        for name, value in head.headers.items()
    }
    return Head(head.status, f"1.{head.minor_version}", headers)


def _reads(seen: Evidence) -> tuple[Read, ...]:
    bearing = Counter(each.read for each in seen.heard if each.meaning is not None and each.meaning.tokens)
    begin = seen.exchange.start
    return tuple(
        Read(_ms(read.stamp - begin), len(read.data), bearing[number]) for number, read in enumerate(seen.reads)
    )


def _whole_answer(seen: Evidence, api: Api) -> list[Heard]:
    """The answer, if it is one that means something only as a whole: in the words of the API that read it."""
    last = seen.ending
    if last.body is None or last.head is None or not succeeded(last.head.status):
        return []
    meaning = api.read_answer(last.body, last.head.headers.get("content-type", ""))
    return [Heard(len(seen.reads) - 1, last.stamp, b"", last.body, meaning)]


def _events(heard: Sequence[Heard], begin: int, secrets: Sequence[str]) -> tuple[Seen, ...]:
    events: list[Seen] = []
    for each in heard:
        at_ms = _ms(each.stamp - begin)
        events.append(
            Seen(
                read=each.read + 1,
                at_ms=at_ms,
                gap_ms=round(at_ms - events[-1].at_ms, 3) if events else None,
                what=words_of(each.meaning, each.name),
                name=blank_out(each.name.decode("utf-8", "replace"), secrets),
                bytes=len(each.data),
                data=blank_out(each.data.decode("utf-8", "replace"), secrets)[:MOST_TEXT],
            )
        )
    return tuple(events)


def words_of(meaning: Meaning | None, name: bytes = b"") -> tuple[str, ...]:
    """What an event was taken for, in the words of `Seen.what`; None: it is a comment."""
    if meaning is None:
        return ("comment",)
    said = {
        "malformed": meaning.malformed,
        "error": meaning.error,
        "token": any(token.visible for token in meaning.tokens),
        "reasoning": any(not token.visible for token in meaning.tokens),
        "answer": meaning.tokenless,
        "finish": meaning.finish,
        "usage": meaning.usage is not None,
        "done": meaning.done,
        "unknown": meaning.unknown,
    }
    silent = "ping" if meaning.ping or is_ping(name) else "foreign" if meaning.foreign else "nothing"
    return tuple(word for word, is_so in said.items() if is_so) or (silent,)


def _bounds(part: Part) -> tuple[float, float] | None:
    low, high = (median_of(part, name) for name in BOUNDS)
    return None if low is None or high is None else (low / 1000, high / 1000)


def _tokens(seen: Evidence) -> Tokens:
    exchange = seen.exchange
    output, by_usage = exchange.output
    usage = exchange.usage or Usage()
    return Tokens(
        output=output,
        source="usage" if by_usage else "events" if exchange.event_count else "unknown",
        input=usage.input,
        cached_input=usage.cached_input,
        reasoning=usage.reasoning,
        events=exchange.event_count,
        events_shared=seen.part.counters.events_shared,
    )


def _raw(seen: Evidence, secrets: Sequence[str]) -> Raw:
    """The bytes; but a secret can't be found in compressed ones: none are shown if what comes out of them holds one."""
    reads = [read.data for read in seen.reads]
    said = _inflated(seen).decode("utf-8", "replace")
    if blank_out(said, secrets) != said:
        reads = [b"(compressed, and a secret is in it)" for _ in reads]
    return raw_of(seen.request, reads, secrets)


def _inflated(seen: Evidence) -> bytes:
    """What stands in a body that is compressed, as far as that can be said; nothing if it isn't."""
    return _body(seen, MAX_BURST) if _coding(seen) != "identity" else b""


def _body_of_no_event(seen: Evidence) -> str:
    """The beginning of a body that is none of an error, as text."""
    head = seen.ending.head
    if head is None or not succeeded(head.status) or seen.ending.end.outcome == "malformed":
        return ""
    return _body(seen, MOST_TEXT).decode("utf-8", "replace")


def _coding(seen: Evidence) -> str:
    head = seen.ending.head
    return head.headers.get("content-encoding", "identity").lower() if head is not None else "identity"


def _body(seen: Evidence, most: int) -> bytes:
    """The first `most` bytes of the body, decoded, as far as that can be said."""
    reader, pieces = ResponseReader(), []
    try:
        for read in seen.reads:
            pieces += reader.feed(read.data)
    except Malformed as fault:
        pieces += fault.pieces
    return decoded_prefix(_coding(seen), b"".join(pieces), most)
