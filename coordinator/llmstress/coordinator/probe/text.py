"""A probe as text: lines of a given width. Pure functions."""

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
"""Fewest columns; a narrower terminal wraps the lines."""

FIRST, LAST = 4, 4
"""Number of events that are shown at the beginning and at the end, unless all are requested."""

_LONGEST_MESSAGE = 800
"""Most characters of a server's message; JSON has more."""

_MESSAGES = {"cancelled": "cancelled by a signal"}
"""Failure class -> message, for classes without a message of their own."""

_HEADERS = (
    *("content-type", "content-encoding", "transfer-encoding", "content-length", "connection", "keep-alive"),
    *("x-accel-buffering", "server", "via", "location", "www-authenticate", "retry-after", "retry-after-ms"),
    *("x-request-id", "request-id", "cf-ray", "openai-processing-ms"),
)
_HEADER_FAMILIES = ("x-ratelimit-", "anthropic-ratelimit-", "x-litellm-")
"""Headers of the answer that are shown, by name or by prefix; JSON has all."""

_MEMBER = re.compile(r"[^{,]*[{,]|[^{,]+")
"""A part of JSON, for the comparison of two events. Commas within strings split as well, which does no harm."""
_NUMBER = re.compile(r'(?<=":)\s*\d+')

_SHORTEST_OMISSION = 16
"""Fewest characters of a common beginning that are left out of the second event; fewer are shown again."""

_LEVELS = "▁▂▃▄▅▆▇█"
_SAME_READ = "·"

_STAMPS = 11
"""Columns of a stamp and the space after it."""
_NAMES = 13
"""Columns of the name of a moment."""


def opening(where: Where, width: int) -> list[Text]:
    """Target, API and model of the request, for printing before it is sent."""
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
    """The result of the request: moments, totals, events, bytes, outcome and advice."""
    parts = [
        _moments(probe, width),
        _totals(probe, width),
        _events(probe.events, width, all_events=all_events),
        _raw(probe, probe.raw) if probe.raw is not None else (),
        _verdict(probe, width),
    ]
    return [line for part in map(list, parts) if part for line in (Text(), *part)]


def render(lines: Iterable[Text], *, colour: bool) -> bytes:
    """The lines as UTF-8, with or without the escape sequences for colours."""
    if not colour:
        return "".join(f"{line.plain.rstrip()}\n" for line in lines).encode("utf-8", "replace")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", highlight=False, markup=False)
    for line in lines:
        console.print(line, soft_wrap=True)
    return out.getvalue().encode("utf-8", "replace")


def printable(text: str, *, ascii_only: bool = False) -> str:
    """`text` in one line: control characters and other unprintable ones are written as escapes."""
    return "".join(
        sign if sign.isprintable() and (sign.isascii() or not ascii_only) else sign.encode("unicode_escape").decode()
        for sign in text
    )


def sparkline(values: Sequence[float], width: int) -> str:
    """Bars for `values`, at most `width` of them.

    With more values, a bar stands for several and shows the largest. Heights are relative to the largest of all values.
    A dot stands for zeros only.
    """
    step = -(-len(values) // width)
    largest = max(values, default=0)
    bins = [max(values[at : at + step]) for at in range(0, len(values), step)] if values else []
    return "".join(
        _LEVELS[min(int(value / largest * len(_LEVELS)), len(_LEVELS) - 1)] if value else _SAME_READ for value in bins
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
        value = [
            f"finish: {probe.finish}" if probe.finish else "",
            f"e2e {_ms(figure['e2e'])}" if "e2e" in figure else "",
        ]
        yield from _moment(at["last_word"], "last word", ", ".join(each for each in value if each), width)
    yield from _moment(at["end"], "end", _of_end(probe), width)


def _moment(at_ms: float, name: str, value: str, width: int) -> list[Text]:
    stamp = Text(f"{latency(at_ms * 1000):>{_STAMPS - 2}}  ", "dim")
    return _entry(stamp.append(f"{name:<{_NAMES}}", "not dim bold"), value, width)


def _of_connection(made: Connection, *, proxied: bool) -> str:
    parts = [("DNS", made.dns_ms), ("TCP", made.tcp_ms), ("tunnel and TLS" if proxied else "TLS", made.tls_ms)]
    took = ", ".join(f"{name} {_ms(ms)}" for name, ms in parts if ms is not None)
    value = [took, f"{made.local} → {made.peer}" if made.peer else "", made.tls]
    return "; ".join(each for each in value if each)


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
    value = [
        f"{_number(len(gaps_ms), 'gap')}: min {_ms(ordered[0])}, p50 {_ms(ordered[(len(ordered) - 1) // 2])}, "
        f"max {_ms(ordered[-1])} (stall)",
        f"each bar is the longest of {each}" if each > 1 else "",
        f"{_SAME_READ} same read as the previous event" if _SAME_READ in line else "",
    ]
    yield from _entry(Text(" " * _STAMPS), "; ".join(filter(None, value)), width)


# --- totals, events, bytes


def _totals(probe: Probe, width: int) -> Iterator[Text]:
    tokens, reads = probe.tokens, [read for read in probe.reads if read.bytes]
    if probe.events:
        kinds = Counter(_kind(event) for event in probe.events)
        value = f"{count(len(probe.events))} in {_number(len(reads), 'read')}: " + ", ".join(
            f"{count(n)} {kind}" for kind, n in kinds.most_common()
        )
        if tokens.events_shared:
            value += f"; up to {max(read.tokens for read in reads)} token events in one read"
        yield from _entry(Text(f"{'events':<{_STAMPS}}", "bold"), value, width)
    if tokens.output or tokens.input is not None:
        parts = [("output", tokens.output), ("input", tokens.input), ("cached", tokens.cached_input)]
        parts.append(("reasoning", tokens.reasoning))
        value = ", ".join(f"{count(n)} {name}" for name, n in parts if n)
        source = {"usage": "as the server's usage says", "events": "counted as events"}.get(tokens.source, "unknown")
        yield from _entry(Text(f"{'tokens':<{_STAMPS}}", "bold"), f"{value} ({source})", width)
    if size := sum(read.bytes for read in reads):
        value = f"{count(size)} read, head and framing included"
        yield from _entry(Text(f"{'bytes':<{_STAMPS}}", "bold"), value, width)


def _kind(event: Seen) -> str:
    return "+".join(event.what)


def _events(events: Sequence[Seen], width: int, *, all_events: bool) -> Iterator[Text]:
    if not events:
        return
    rows = list(zip(range(1, len(events) + 1), events, [None, *events], _first_differences(events), strict=False))
    left_out = 0 if all_events else max(0, len(events) - FIRST - LAST)
    first, last = (rows[:FIRST], rows[-LAST:]) if left_out else (rows, [])
    kinds = max(len("read as"), *(len(_kind(event)) for _, event, _, _ in [*first, *last]))
    yield Text(f"{'#':>5}{'at':>10}{'gap':>11}  {'read as':<{kinds}}  data", "dim")
    yield from (_event(*row, kinds, width) for row in first)
    if left_out:
        yield Text(f"{'…':>5}  {count(left_out)} more: --events shows all", "dim")
    yield from (_event(*row, kinds, width) for row in last)


def _event(number: int, event: Seen, before: Seen | None, begin: int, kinds: int, width: int) -> Text:
    gap = "" if event.gap_ms is None else f"+{_ms(event.gap_ms)}"
    if before is not None and before.read == event.read:
        gap = "same read"
    line = Text(f"{number:>5}{_ms(event.at_ms):>10}{gap:>11}  ", "dim")
    line.append(f"{_kind(event):<{kinds}}  ", "not dim bold" if "token" in event.what else "not dim")
    data = f"…{event.data[begin:]}" if begin else event.data
    line.append(printable(f"{event.name}: {data}" if event.name else data), "not dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _first_differences(events: Sequence[Seen]) -> Iterator[int]:
    """For each event, the index at which its data begins to differ from that of the previous event; 0 if the common
    part is too short to leave it out."""
    before: list[str] = []
    alike = 0
    for event in events:
        members = _MEMBER.findall(event.data)
        if (same := members_alike(members, before)) < len(members):
            alike = same  # an event without any difference is shown from the same index as the previous one
        before = members
        begin = len("".join(members[:alike]))
        yield begin if begin >= _SHORTEST_OMISSION else 0


def members_alike(one: Sequence[str], other: Sequence[str]) -> int:
    """Number of leading members that two events have in common, ignoring numbers: in most APIs about a hundred
    characters that are the same in all events come before an event's own content."""
    pairs = enumerate(zip(one, other, strict=False))
    return next(
        (at for at, (mine, its) in pairs if _NUMBER.sub("", mine) != _NUMBER.sub("", its)), min(len(one), len(other))
    )


def _raw(probe: Probe, raw: raw.Raw) -> Iterator[Text]:
    yield Text(f"request, {count(probe.asked.bytes)} bytes", "bold")
    yield from _text(raw.request)
    for number, (read, text) in enumerate(zip(probe.reads, raw.reads, strict=True), 1):
        value = f"{count(read.bytes)} bytes" if read.bytes else "the end of the connection"
        yield Text(f"read {number} at {_ms(read.at_ms)}, {value}", "bold")
        yield from _text(text)


def _text(data: raw.Text) -> Iterator[Text]:
    """The bytes in lines, split after each line feed; line breaks and unprintable bytes are shown as escapes."""
    for line in re.findall(r"[^\n]*\n|[^\n]+", data.text):
        yield Text(f"  {printable(line, ascii_only=data.encoding != 'utf-8')}")


# --- the end


def _verdict(probe: Probe, width: int) -> Iterator[Text]:
    good = probe.outcome == "ok"
    outcome = Text(f"{probe.outcome}  ", "bold green" if good else "bold red")
    message = " ".join((probe.words or _MESSAGES.get(probe.outcome, "")).split())
    shown = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]} …"
    yield from _entry(outcome, shown, width)
    if probe.hint:
        yield from _entry(Text("  → ", "bold"), probe.hint, width, style="bold")
    for remark in probe.remarks:
        yield from _entry(Text("  · ", "dim"), remark, width)


def _entry(label: Text, value: str, width: int, style: str = "") -> list[Text]:
    """A label, and a text beside it that is wrapped to `width`."""
    indent = label.cell_len
    first, *others = textwrap.wrap(printable(value), max(20, width - indent), break_on_hyphens=False) or [""]
    return [Text.assemble(label, (first, style)), *(Text(f"{'':{indent}}{each}", style) for each in others)]


def _number(n: int, noun: str) -> str:
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def _ms(ms: float | None) -> str:
    return latency(None if ms is None else ms * 1000)
