"""Makes the description of a probe from what the witness has observed."""

from collections import Counter
from collections.abc import Sequence

from llmstress.coordinator.probe.raw import Raw, raw_of
from llmstress.coordinator.probe.report import (
    SCHEMA,
    Asked,
    Attempt,
    Connection,
    Head,
    Probe,
    Read,
    Seen,
    Tokens,
    Where,
)
from llmstress.engine.api.base import Api
from llmstress.engine.api.lenient import is_ping
from llmstress.engine.api.meaning import Meaning, Usage
from llmstress.engine.http import response
from llmstress.engine.http.body import succeeded
from llmstress.engine.http.decompress import MAX_BURST, decoded_prefix
from llmstress.engine.http.response import Malformed, ResponseReader
from llmstress.engine.secrets import redact, redact_finish_reason
from llmstress.engine.telemetry.collecting import collected
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.metrics import OF_ONE_REQUEST
from llmstress.engine.telemetry.undetermined import BOUNDS, median_of
from llmstress.engine.telemetry.verdict import notes_on_one_answer
from llmstress.engine.witness import Evidence, WitnessedEvent

MOST_TEXT = 1000
"""Characters of an event that are kept."""


def probe_of(where: Where, seen: Evidence, api: Api, secrets: Sequence[str], *, by_name: bool, raw: bool) -> Probe:
    """The description of a probe, with secrets redacted; hint and remarks are still empty.

    Args:
        where: the request, as known before it was sent.
        seen: what the witness has observed.
        api: the API of the request.
        secrets: texts to redact.
        by_name: the connector asked DNS for the host.
        raw: include the bytes.
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
    events = [*seen.events, *whole]
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
        latency_ms={
            name: latency[name].sum / 1000 for name in OF_ONE_REQUEST if name in latency and latency[name].count
        },
        gaps_ms=tuple(gap / 1000 for gap in exchange.gaps),
        reads=_reads(seen),
        events=_events(events, exchange.start, secrets),
        tokens=_tokens(seen),
        collected=found.text if (found := collected(seen.part.counters, seen.signs)) is not None else "",
        tried_again=seen.part.counters.tried_again > 0,
        finish=redact_finish_reason(exchange.finish, secrets),
        outcome=last.end.outcome,
        words=redact(last.end.text, secrets),
        hint="",
        remarks=(),
        raw=_raw(seen, secrets) if raw else None,
        whole=bool(whole),
        tpot_bounds_ms=_bounds(seen.part),
        noted=tuple(notes_on_one_answer(seen.part, seen.fields)),
        body="" if any(each.meaning is not None for each in events) else redact(_body_of_no_event(seen), secrets),
    )


def _ms(nanoseconds: int) -> float:
    """Milliseconds, rounded down to whole microseconds as in the histograms."""
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
        redact(name, secrets): "***" if name == "set-cookie" else redact(value, secrets)
        for name, value in head.headers.items()
    }
    return Head(head.status, f"1.{head.minor_version}", headers)


def _reads(seen: Evidence) -> tuple[Read, ...]:
    bearing = Counter(each.read for each in seen.events if each.meaning is not None and each.meaning.tokens)
    begin = seen.exchange.start
    return tuple(
        Read(_ms(read.stamp - begin), len(read.data), bearing[number]) for number, read in enumerate(seen.reads)
    )


def _whole_answer(seen: Evidence, api: Api) -> list[WitnessedEvent]:
    """The answer in one piece as a single event; empty if the answer is a stream."""
    last = seen.ending
    if last.body is None or last.head is None or not succeeded(last.head.status):
        return []
    meaning = api.read_answer(last.body, last.head.headers.get("content-type", ""))
    return [WitnessedEvent(len(seen.reads) - 1, last.stamp, b"", last.body, meaning)]


def _events(witnessed: Sequence[WitnessedEvent], begin: int, secrets: Sequence[str]) -> tuple[Seen, ...]:
    events: list[Seen] = []
    for each in witnessed:
        at_ms = _ms(each.stamp - begin)
        events.append(
            Seen(
                read=each.read + 1,
                at_ms=at_ms,
                gap_ms=round(at_ms - events[-1].at_ms, 3) if events else None,
                what=kinds_of(each.meaning, each.name),
                name=redact(each.name.decode("utf-8", "replace"), secrets),
                bytes=len(each.data),
                data=redact(each.data.decode("utf-8", "replace"), secrets)[:MOST_TEXT],
            )
        )
    return tuple(events)


def kinds_of(meaning: Meaning | None, name: bytes = b"") -> tuple[str, ...]:
    """How a run reads an event, in the words of `Seen.what`; a meaning of None is a comment."""
    if meaning is None:
        return ("comment",)
    kinds = {
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
    return tuple(word for word, is_so in kinds.items() if is_so) or (silent,)


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
    """The bytes. Compressed bytes are left out if the decompressed body contains a secret."""
    reads = [read.data for read in seen.reads]
    body = _inflated(seen).decode("utf-8", "replace")
    if redact(body, secrets) != body:
        reads = [b"(compressed, and a secret is in it)" for _ in reads]
    return raw_of(seen.request, reads, secrets)


def _inflated(seen: Evidence) -> bytes:
    """The decompressed body, as far as it can be decoded; empty if it is not compressed."""
    return _body(seen, MAX_BURST) if _coding(seen) != "identity" else b""


def _body_of_no_event(seen: Evidence) -> str:
    """The beginning of the body as text, if the status is good and the body is well-formed."""
    head = seen.ending.head
    if head is None or not succeeded(head.status) or seen.ending.end.outcome == "malformed":
        return ""
    return _body(seen, MOST_TEXT).decode("utf-8", "replace")


def _coding(seen: Evidence) -> str:
    head = seen.ending.head
    return head.headers.get("content-encoding", "identity").lower() if head is not None else "identity"


def _body(seen: Evidence, most: int) -> bytes:
    """The first `most` bytes of the decoded body, as far as it can be decoded."""
    reader, pieces = ResponseReader(), []
    try:
        for read in seen.reads:
            pieces += reader.feed(read.data)
    except Malformed as fault:
        pieces += fault.pieces
    return decoded_prefix(_coding(seen), b"".join(pieces), most)
