"""The text of a probe: lines of a given width. Pure functions."""

import io
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from llmstress.coordinator.probe import raw
from llmstress.coordinator.probe.report import Connection, Probe, Seen, Where
from llmstress.engine.telemetry.formatting import count, latency

NARROWEST = 40
"""Columns. On a narrower terminal the terminal wraps."""

FIRST, LAST = 4, 4
"""The first and last events that are shown without `--events`."""

_MOST_WORDS = 800
"""Characters of a server's text that are shown; JSON has more."""

_OWN_WORDS = {"cancelled": "cut off by a signal"}

_HEADERS = (
    *("content-type", "content-encoding", "transfer-encoding", "content-length", "connection", "keep-alive"),
    *("x-accel-buffering", "server", "via", "location", "www-authenticate", "retry-after", "retry-after-ms"),
    *("x-request-id", "request-id", "cf-ray", "openai-processing-ms"),
)
_HEADER_FAMILIES = ("x-ratelimit-", "anthropic-ratelimit-", "x-litellm-")
"""Headers of the answer that are shown; JSON has all."""

_MEMBER = re.compile(r"[^{,]*[{,]|[^{,]+")
"""Pieces of JSON that are compared. A comma in a string cuts as well, which does no harm."""
_NUMBER = re.compile(r'(?<=":)\s*\d+')

_WORTH_LEAVING_OUT = 16
"""Characters that an event must have in common with the one before for its beginning to be left out."""

_LEVELS = "▁▂▃▄▅▆▇█"
_TOGETHER = "·"

_STAMPS = 11
"""Columns of a stamp and the space after it."""
_NAMES = 13
"""Columns of the name of a moment."""


def opening(where: Where, width: int) -> list[Text]:
    """Target, API, model and addresses: what is known before the request is sent."""
    entries = [
        ("api", f"{where.api} ({where.api_because})"),
        ("model", f"{where.model or '–'} ({where.model_because})" if where.model_because else ""),
        ("address", "" if any(each in where.url for each in where.addresses) else ", ".join(where.addresses)),
        ("way", where.way),
        *(("note", note) for note in where.notes),
    ]
    lines = [Text.assemble(f"llmstress {where.version}   ", (printable(f"{where.method} {where.url}"), "bold"))]
    for name, value in entries:
        if value:
            lines += _entry(Text(f"  {name:<9}", "dim"), value, width)
    return lines


def account(probe: Probe, width: int, *, all_events: bool = False) -> list[Text]:
    """The request and its answer: stamps, events, how it ended, and what to do."""
    parts = [
        _moments(probe, width),
        _sums(probe, width),
        _events(probe.events, width, all_events=all_events),
        _raw(probe, probe.raw) if probe.raw is not None else (),
        _verdict(probe, width),
    ]
    return [line for part in map(list, parts) if part for line in (Text(), *part)]


def render(lines: Iterable[Text], *, colour: bool) -> bytes:
    """The lines as text, with the colours of a terminal or without."""
    if not colour:
        return "".join(f"{line.plain.rstrip()}\n" for line in lines).encode("utf-8", "replace")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", highlight=False, markup=False)
    for line in lines:
        console.print(line, soft_wrap=True)
    return out.getvalue().encode("utf-8", "replace")


def printable(text: str, *, ascii_only: bool = False) -> str:
    """`text` in one line; characters that would move a cursor or change a colour are written as escapes."""
    return "".join(
        sign if sign.isprintable() and (sign.isascii() or not ascii_only) else sign.encode("unicode_escape").decode()
        for sign in text
    )


def sparkline(values: Sequence[float], width: int) -> str:
    """A line of at most `width` blocks. A block stands for one value, or for several of which the largest counts. Its
    height is the share of the largest value of all; a dot stands for zeros only."""
    step = -(-len(values) // width)
    largest = max(values, default=0)
    bins = [max(values[at : at + step]) for at in range(0, len(values), step)] if values else []
    return "".join(
        _LEVELS[min(int(value / largest * len(_LEVELS)), len(_LEVELS) - 1)] if value else _TOGETHER for value in bins
    )


# --- the moments


def _moments(probe: Probe, width: int) -> Iterator[Text]:
    at, figure = probe.at_ms, probe.latency_ms
    for attempt in probe.attempts:
        if attempt.error or probe.connection is None:
            how = attempt.error or f"TCP {_ms(attempt.took_ms)}"
            yield from _moment(attempt.at_ms + attempt.took_ms, "tried", f"{attempt.address}: {how}", width)
    if probe.connection is not None and "sent" in at:
        yield from _moment(
            at["sent"], "connected", _of_connection(probe.connection, proxied=probe.where.proxied), width
        )
    if "sent" in at:
        yield from _moment(at["sent"], "sent", f"{count(probe.asked.bytes)} bytes", width)
    if probe.head is not None and "head" in at:
        ttfb = f", {_ms(figure['ttfb'])} after the request (ttfb)" if "ttfb" in figure else ""
        yield from _moment(at["head"], "head", f"{probe.head.status}, HTTP/{probe.head.http}{ttfb}", width)
        yield from _headers(probe.head.headers, width)
    if "first_token" in at:
        yield from _moment(at["first_token"], "first token", f"ttft {_ms(figure.get('ttft'))}", width)
        if at.get("first_answer", at["first_token"]) != at["first_token"]:
            yield from _moment(at["first_answer"], "first answer", f"ttfa {_ms(figure.get('ttfa'))}", width)
    if probe.gaps_ms:
        yield from _gaps(probe, width)
        if "last_token" in at:
            tpot = f"tpot {_ms(figure['tpot'])}" if "tpot" in figure else ""
            if probe.tpot_bounds_ms is not None:
                low, high = sorted(probe.tpot_bounds_ms)
                tpot = f"tpot undetermined: {_ms(low)} to {_ms(high)}"
            yield from _moment(at["last_token"], "last token", tpot, width)
    if "last_word" in at:
        said = [
            f"finish: {probe.finish}" if probe.finish else "",
            f"e2e {_ms(figure['e2e'])}" if "e2e" in figure else "",
        ]
        yield from _moment(at["last_word"], "last word", ", ".join(each for each in said if each), width)
    yield from _moment(at["end"], "end", _of_end(probe), width)


def _moment(at_ms: float, name: str, said: str, width: int) -> list[Text]:
    stamp = Text(f"{latency(at_ms * 1000):>{_STAMPS - 2}}  ", "dim")
    return _entry(stamp.append(f"{name:<{_NAMES}}", "not dim bold"), said, width)


def _of_connection(made: Connection, *, proxied: bool) -> str:
    parts = [("DNS", made.dns_ms), ("TCP", made.tcp_ms), ("tunnel and TLS" if proxied else "TLS", made.tls_ms)]
    took = ", ".join(f"{name} {_ms(ms)}" for name, ms in parts if ms is not None)
    said = [took, f"{made.local} → {made.peer}" if made.peer else "", made.tls]
    return "; ".join(each for each in said if each)


def _of_end(probe: Probe) -> str:
    if probe.connection is None:
        return ""
    return "the connection is kept" if probe.connection.kept else "the connection is closed"


def _headers(headers: dict[str, str], width: int) -> Iterator[Text]:
    wanted = [name for name in _HEADERS if name in headers]
    wanted += [name for name in headers if name.startswith(_HEADER_FAMILIES)]
    for name in wanted:
        yield from _entry(Text(f"{'':{_STAMPS}}{printable(name)}: ", "dim"), headers[name], width, style="dim")


def _gaps(probe: Probe, width: int) -> Iterator[Text]:
    gaps_ms, tokens = probe.gaps_ms, probe.tokens
    if any(read.tokens == tokens.events for read in probe.reads):
        yield from _entry(Text(" " * _STAMPS), f"all {count(tokens.events)} token events came in one read", width)
        return
    room = width - _STAMPS
    line = sparkline(gaps_ms, room)
    yield Text(f"{'':{_STAMPS}}").append(line, "cyan")
    ordered, each = sorted(gaps_ms), -(-len(gaps_ms) // room)
    said = [
        f"{_number(len(gaps_ms), 'gap')}: min {_ms(ordered[0])}, p50 {_ms(ordered[(len(ordered) - 1) // 2])}, "
        f"max {_ms(ordered[-1])} (stall)",
        f"each bar is the longest of {each}" if each > 1 else "",
        f"{_TOGETHER} same read as the previous event" if _TOGETHER in line else "",
    ]
    yield from _entry(Text(" " * _STAMPS), "; ".join(filter(None, said)), width)


# --- sums, events, bytes


def _sums(probe: Probe, width: int) -> Iterator[Text]:
    tokens, reads = probe.tokens, [read for read in probe.reads if read.bytes]
    if probe.events:
        kinds = Counter(_kind(event) for event in probe.events)
        said = f"{count(len(probe.events))} in {_number(len(reads), 'read')}: " + ", ".join(
            f"{count(n)} {kind}" for kind, n in kinds.most_common()
        )
        if tokens.events_shared:
            said += f"; up to {max(read.tokens for read in reads)} token events in one read"
        yield from _entry(Text(f"{'events':<{_STAMPS}}", "bold"), said, width)
    if tokens.output or tokens.input is not None:
        parts = [("output", tokens.output), ("input", tokens.input), ("cached", tokens.cached_input)]
        parts.append(("reasoning", tokens.reasoning))
        said = ", ".join(f"{count(n)} {name}" for name, n in parts if n)
        source = {"usage": "as the server's usage says", "events": "counted as events"}.get(tokens.source, "unknown")
        yield from _entry(Text(f"{'tokens':<{_STAMPS}}", "bold"), f"{said} ({source})", width)
    if size := sum(read.bytes for read in reads):
        said = f"{count(size)} read, head and framing included"
        yield from _entry(Text(f"{'bytes':<{_STAMPS}}", "bold"), said, width)


def _kind(event: Seen) -> str:
    return "+".join(event.what)


def _events(events: Sequence[Seen], width: int, *, all_events: bool) -> Iterator[Text]:
    if not events:
        return
    rows = list(zip(range(1, len(events) + 1), events, [None, *events], _news(events), strict=False))
    left_out = 0 if all_events else max(0, len(events) - FIRST - LAST)
    first, last = (rows[:FIRST], rows[-LAST:]) if left_out else (rows, [])
    kinds = max(len("read as"), *(len(_kind(event)) for _, event, _, _ in [*first, *last]))
    yield Text(f"{'#':>5}{'at':>10}{'gap':>11}  {'read as':<{kinds}}  data", "dim")
    yield from (_event(*row, kinds, width) for row in first)
    if left_out:
        yield Text(f"{'…':>5}  {count(left_out)} more: --events shows all", "dim")
    yield from (_event(*row, kinds, width) for row in last)


def _event(number: int, event: Seen, before: Seen | None, news: int, kinds: int, width: int) -> Text:
    gap = "" if event.gap_ms is None else f"+{_ms(event.gap_ms)}"
    if before is not None and before.read == event.read:
        gap = "same read"
    line = Text(f"{number:>5}{_ms(event.at_ms):>10}{gap:>11}  ", "dim")
    line.append(f"{_kind(event):<{kinds}}  ", "not dim bold" if "token" in event.what else "not dim")
    data = f"…{event.data[news:]}" if news else event.data
    line.append(printable(f"{event.name}: {data}" if event.name else data), "not dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _news(events: Sequence[Seen]) -> Iterator[int]:
    """For each event, the position in its data from which on it differs from the event before."""
    before: list[str] = []
    alike = 0
    for event in events:
        members = _MEMBER.findall(event.data)
        if (same := members_alike(members, before)) < len(members):
            alike = same  # else it says nothing new: it is shown from where that one was
        before = members
        begin = len("".join(members[:alike]))
        yield begin if begin >= _WORTH_LEAVING_OUT else 0


def members_alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many members two events have in common at their beginning, numbers aside: the text of an event comes after a
    hundred characters that all events share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next(
        (at for at, (mine, its) in pairs if _NUMBER.sub("", mine) != _NUMBER.sub("", its)), min(len(one), len(other))
    )


def _raw(probe: Probe, raw: raw.Raw) -> Iterator[Text]:
    yield Text(f"request, {count(probe.asked.bytes)} bytes", "bold")
    yield from _text(raw.request)
    for number, (read, text) in enumerate(zip(probe.reads, raw.reads, strict=True), 1):
        said = f"{count(read.bytes)} bytes" if read.bytes else "the end of the connection"
        yield Text(f"read {number} at {_ms(read.at_ms)}, {said}", "bold")
        yield from _text(text)


def _text(data: raw.Text) -> Iterator[Text]:
    """The bytes, line by line; line breaks, and bytes that are no text, are shown as escapes."""
    for line in re.findall(r"[^\n]*\n|[^\n]+", data.text):
        yield Text(f"  {printable(line, ascii_only=data.encoding != 'utf-8')}")


# --- the end


def _verdict(probe: Probe, width: int) -> Iterator[Text]:
    good = probe.outcome == "ok"
    outcome = Text(f"{probe.outcome}  ", "bold green" if good else "bold red")
    said = " ".join((probe.words or _OWN_WORDS.get(probe.outcome, "")).split())
    words = said if len(said) <= _MOST_WORDS else f"{said[:_MOST_WORDS]} …"
    yield from _entry(outcome, words, width)
    if probe.hint:
        yield from _entry(Text("  → ", "bold"), probe.hint, width, style="bold")
    for remark in probe.remarks:
        yield from _entry(Text("  · ", "dim"), remark, width)


def _entry(label: Text, said: str, width: int, style: str = "") -> list[Text]:
    """A label with its text beside it, in as many lines as necessary."""
    indent = label.cell_len
    first, *others = textwrap.wrap(printable(said), max(20, width - indent), break_on_hyphens=False) or [""]
    return [Text.assemble(label, (first, style)), *(Text(f"{'':{indent}}{each}", style) for each in others)]


def _number(n: int, noun: str) -> str:
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def _ms(ms: float | None) -> str:
    return latency(None if ms is None else ms * 1000)
