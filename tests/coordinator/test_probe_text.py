"""The text and the advice of a probe: pure functions of its description."""

from typing import Any

import msgspec
import pytest
from helpers.probe_reports import WHERE, a_probe, failed, strange, token
from rich.cells import cell_len

from llmstress.coordinator.probe import text
from llmstress.coordinator.probe.hints import hint_of, remarks_of
from llmstress.coordinator.probe.observed import kinds_of
from llmstress.coordinator.probe.raw import shown
from llmstress.coordinator.probe.report import (
    Asked,
    Attempt,
    Head,
    Probe,
    Seen,
    Tokens,
)
from llmstress.engine.api.meaning import DONE as LAST_WORD
from llmstress.engine.api.meaning import NOTHING, UNKNOWN, Meaning, TokenOf, Usage
from llmstress.engine.telemetry.notes import STAYED_OPEN

CONNECTION = a_probe().connection
assert CONNECTION is not None


def text_of(probe: Probe, width: int = 80, **how: bool) -> str:
    lines = [*text.opening(probe.where, width), *text.account(probe, width, **how)]
    return "\n".join(line.plain.rstrip() for line in lines)


# --- the text


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 10, ""),
        ([5.0], 10, "█"),
        ([0.0, 0.0], 10, "··"),
        ([1.0, 2.0, 4.0, 8.0], 10, "▂▃▅█"),
        ([0.01, 8.0, 0.0], 10, "▁█·"),
        ([8.0, 1.0, 1.0, 2.0, 0.0, 0.0], 3, "█▃·"),
        ([1.0] * 100, 30, "█" * 25),
    ],
)
def test_gaps_are_drawn_with_the_longest_of_each_bin(values: list[float], width: int, line: str) -> None:
    assert text.sparkline(values, width) == line


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("plain – ü 漢", "plain – ü 漢"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x1b[31mred\x9b0m", r"\x1b[31mred\x9b0m"),
        ("\u202egnp\u2066", r"\u202egnp\u2066"),
        ("\ud800", r"\ud800"),
    ],
)
def test_nothing_that_a_server_says_moves_the_cursor(said: str, seen: str) -> None:
    assert text.printable(said) == seen
    probe = failed("http_500", said, where=msgspec.structs.replace(WHERE, model=said))
    lines = text_of(probe).splitlines()
    assert all(sign.isprintable() for line in lines for sign in line)


def test_the_account_of_a_good_answer() -> None:
    assert (
        text_of(a_probe()).splitlines()
        == """\
llmstress 1.2.3   POST http://llm.test:8000/v1/chat/completions
  api      openai-chat (named with --api)
  model    m (named with --model)
  address  192.0.2.7

  0.50 ms  connected    DNS 0.10 ms, TCP 0.40 ms; 192.0.2.1:4000 →
                        192.0.2.7:8000
  0.50 ms  sent         400 bytes
  10.0 ms  head         200, HTTP/1.1, 9.50 ms after the request (ttfb)
           content-type: text/event-stream
   200 ms  first token  ttft 200 ms
           ██
           2 gaps: min 20.0 ms, p50 20.0 ms, max 20.0 ms (stall)
   240 ms  last token   tpot 20.0 ms
   241 ms  last word    finish: stop, e2e 241 ms
   242 ms  end          the connection is kept

events     3 in 3 reads: 3 token
tokens     3 output, 19 input (as the server's usage says)
bytes      500 read, head and framing included

    #        at        gap  read as  data
    1    200 ms             token    {"id": "chatcmpl-0123456789", "created": 1…
    2    220 ms   +20.0 ms  token    …"content": "c"}}]}
    3    240 ms   +20.0 ms  token    …"content": "a"}}]}

ok""".splitlines()
    )


ODD = a_probe(
    head=Head(
        200, "1.0", {"via": "1.1 vegur, " * 20, "x-ratelimit-limit-requests": "5", "set-cookie": "***", "x-odd": "1"}
    ),
    attempts=(Attempt("[2001:db8::7]:8000", 0.1, 0.4, "Network is unreachable"), *a_probe().attempts),
    events=tuple(
        Seen(1, 200.0, None, ("token",), "name", 9, f"漢字 {number} \x1b[2J" + "ü" * 300) for number in range(100)
    ),
    gaps_ms=tuple(float(n % 7) for n in range(500)),
    tokens=Tokens(500, "usage", 1, 2, 3, 500, 400),
    outcome="stream_error",
    words="no luck " * 400,
    hint="do this " * 30,
    remarks=("one " * 50, "two " * 50),
)


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("probe", [a_probe(), ODD, failed("reset")], ids=["good", "odd", "failed"])
def test_no_line_is_too_long(probe: Probe, width: int) -> None:
    for all_events in (False, True):
        url, *others = text_of(probe, width, all_events=all_events).splitlines()
        assert max(cell_len(line) for line in others) <= width
        assert url.endswith(WHERE.url), "that is shown whole"


def test_a_narrow_terminal_has_it_all_the_same() -> None:
    squeezed = "".join(text_of(ODD, text.NARROWEST).split())
    for said in (
        "unreachable",
        "x-ratelimit-limit-requests:5",
        "500gaps",
        "(stall)",
        "stream_error",
        "→dothis",
        "·two",
    ):
        assert said in squeezed
    assert "set-cookie" not in squeezed
    assert "x-odd" not in squeezed


def test_of_many_events_the_first_and_the_last_are_shown() -> None:
    some, whole = (text_of(ODD, 80, all_events=all_events).splitlines() for all_events in (False, True))
    numbers = [line.split()[0] for line in some if "name: " in line]
    assert numbers == ["1", "2", "3", "4", "97", "98", "99", "100"]
    assert any("92 more: --events" in line for line in some)
    assert [line.split()[0] for line in whole if "name: " in line] == [str(number) for number in range(1, 101)]


def event_lines(*data: str) -> list[str]:
    """The shown part of the data of these events."""
    events = tuple(Seen(number, 1.0, None, ("nothing",), "", 1, each) for number, each in enumerate(data, 1))
    lines = text_of(a_probe(events=events), 300).splitlines()
    return [line.partition("nothing  ")[2] for line in lines if "nothing  " in line]


def test_what_is_new_in_an_event_is_shown() -> None:
    begin = '{"id":"0123456789","created":%d,"choices":['
    assert event_lines(
        begin % 9 + '{"a":""}]}',
        begin % 10 + '{"b":"1"}]}',
        begin % 11 + '{"b":"2"}]}',
        begin % 12 + '{"b":"2"}]}',
        begin % 13 + '],"usage":{"n":1}}',
        "[DONE]",
    ) == [
        begin % 9 + '{"a":""}]}',
        '…"b":"1"}]}',
        '…"b":"2"}]}',
        '…"b":"2"}]}',
        '…"choices":[],"usage":{"n":1}}',
        "[DONE]",
    ]
    assert event_lines('{"n":1,"x":"a"}', '{"n":2,"x":"b"}') == ['{"n":1,"x":"a"}', '{"n":2,"x":"b"}'], "short enough"


def test_colours_are_for_terminals() -> None:
    lines = text.account(a_probe(), 80)
    assert b"\x1b[" in text.render(lines, colour=True)
    assert text.render(lines, colour=False).decode() == "".join(f"{line.plain.rstrip()}\n" for line in lines)


@pytest.mark.parametrize(
    ("meaning", "name", "words"),
    [
        (None, b"", "comment"),
        (NOTHING, b"", "nothing"),
        (NOTHING, b"ping", "ping"),
        (UNKNOWN, b"ping", "unknown"),
        (LAST_WORD, b"", "done"),
        (Meaning(error="no"), b"error", "error"),
        (Meaning(malformed="no"), b"", "malformed"),
        (Meaning(finish="stop", usage=Usage(), done=True), b"", "finish+usage+done"),
        (Meaning((TokenOf(0, True, False), TokenOf(1, True, False)), finish="stop"), b"", "token+finish"),
        (Meaning((TokenOf(0, True, True),)), b"", "token"),
        (Meaning((TokenOf(0, False, True),)), b"", "reasoning"),
        (Meaning((TokenOf(0, True, False), TokenOf(1, False, True))), b"", "token+reasoning"),
        (Meaning(tokenless=True, finish="end of body"), b"", "answer+finish"),
    ],
)
def test_what_an_event_was_taken_for(meaning: Meaning | None, name: bytes, words: str) -> None:
    assert "+".join(kinds_of(meaning, name)) == words


# --- advice


@pytest.mark.parametrize(
    ("probe", "hint"),
    [
        (a_probe(), ""),
        (failed("cancelled"), ""),
        (failed("http_418", "I'm a teapot"), ""),
        (failed("http_401"), "no key was sent: --api-key-env"),
        (failed("http_401", asked=Asked(1, 1, ("Host", "Authorization"))), "refused the key"),
        (failed("http_401", asked=Asked(1, 1, ("api-key",))), "refused the key"),
        (failed("http_404"), "--url takes a host"),
        (failed("http_404", "The model `gpt-9` does not exist"), "does not have this model"),
        (failed("http_400", "model 'x' not found, try pulling it first"), "does not have this model"),
        (failed("http_404", where=msgspec.structs.replace(WHERE, model="")), "names no model; set one"),
        (failed("http_404", head=Head(404, "1.1", {"content-type": "text/html"})), "a web page"),
        (
            failed("malformed", "not JSON", head=Head(200, "1.1", {"content-type": "text/html;q=1"})),
            "a web page",
        ),
        (failed("http_502", head=Head(502, "1.1", {"content-type": "text/html"})), "a gateway"),
        (
            failed("http_400", "Unsupported parameter: 'max_tokens' is not supported with this model."),
            "--limit-field max_completion_tokens",
        ),
        (failed("http_400", "Unrecognized request argument supplied: stream_options"), "--no-usage"),
        (failed("http_400", "This model's maximum context length is 4096 tokens."), "--max-tokens"),
        (failed("http_400", "The plain HTTP request was sent to HTTPS port"), "https://"),
        (failed("malformed", r"not an HTTP/1.x answer: b'\x15\x03\x01\x00\x02\x02F'"), "https://"),
        (failed("malformed", r"not an HTTP/1.x answer: b'\x00\x00\x12\x04'"), "HTTP/2"),
        (failed("malformed", "not an HTTP/1.x answer: b'SSH-2.0'"), "not a web server"),
        (
            failed("http_308", head=Head(308, "1.1", {"location": "https://u:pw@h/?key=1"})),
            "https://***@h/?key=***; use",
        ),
        (failed("http_301"), ""),
        (failed("rate_limited", head=Head(429, "1.1", {"retry-after": "20"})), "(retry-after: 20)"),
        (failed("rate_limited"), "wait"),
        (failed("connect_refused"), "check the server and the port"),
        (failed("connect_timeout"), "a firewall"),
        (failed("connect_timeout", where=msgspec.structs.replace(WHERE, url="https://h/v1")), "does not answer TLS"),
        (failed("http_400", where=msgspec.structs.replace(WHERE, api="text")), "--body and --method change it"),
        (failed("http_404", where=msgspec.structs.replace(WHERE, api="sse")), "exactly as given"),
        (failed("dns"), "--resolve"),
        (failed("empty", finish="length"), "raise --max-tokens"),
        (failed("empty", finish="stop", events=(strange('{"x":1}'),)), "another --api"),
        (failed("truncated", events=(strange('{"x":1}'),)), "another --api"),
        (
            failed("truncated", events=(token(1, 1.0),), where=msgspec.structs.replace(WHERE, api="mine")),
            "is incomplete",
        ),
        (
            failed("empty", events=(token(1, 1.0),), where=msgspec.structs.replace(WHERE, api="sse")),
            "set the place with --text",
        ),
        (failed("truncated"), "is incomplete"),
        (failed("timeout_idle"), "--timeout-idle"),
    ],
)
def test_what_to_do(probe: Probe, hint: str) -> None:
    assert hint in hint_of(probe)
    assert bool(hint) == bool(hint_of(probe))


MANY = {"tokens": Tokens(10, "usage", 1, None, None, 10, 0)}


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({}, ""),
        ({"tokens": Tokens(10, "usage", 1, None, None, 10, 3)}, "3 of 10 token events shared a read"),
        ({"tokens": Tokens(10, "usage", 1, None, None, 10, 2)}, ""),
        ({"tokens": Tokens(10, "usage", 1, None, None, 10, 9), "collected": "answers come in blocks"}, "in blocks"),
        ({"tried_again": True}, "not the gateway's first attempt"),
        ({"tokens": Tokens(4, "usage", 1, None, None, 4, 4)}, ""),
        ({"noted": ("the answer came without usage: tokens are counted in events",)}, "came without usage"),
        ({"head": Head(200, "1.1", {"content-encoding": "gzip"})}, "compressed (gzip)"),
        ({"where": msgspec.structs.replace(WHERE, api="text")}, "--api sse counts events"),
        ({"head": Head(200, "1.1", {"content-encoding": "Identity"})}, ""),
        ({"head": Head(200, "1.1", {"content-encoding": ""})}, ""),
        ({"events": (Seen(1, 1.0, None, ("unknown",), "", 1, ""),)}, "1 event has a shape"),
        ({"attempts": (Attempt("[::1]:8", 0.1, 0.4, "refused"),)}, "[::1]:8 did not accept"),
        ({"connection": msgspec.structs.replace(CONNECTION, repeated=1)}, "retransmitted"),
        ({"connection": msgspec.structs.replace(CONNECTION, kept=False)}, "closes the connection"),
        (
            {
                "connection": msgspec.structs.replace(CONNECTION, kept=False),
                "noted": (f"{STAYED_OPEN} of the answer: llmstress closed the connection",),
            },
            "llmstress closed the connection",
        ),
        (
            {
                "connection": msgspec.structs.replace(CONNECTION, kept=False),
                "asked": Asked(1, 1, ("Connection",)),
            },
            "",
        ),
        (
            {
                "tokens": Tokens(3, "usage", 1, None, None, 0, 0),
                "events": (Seen(1, 1.0, None, ("token", "finish"), "", 1, ""),),
            },
            "came in one piece",
        ),
    ],
)
def test_what_is_worth_knowing(changes: dict[str, Any], remark: str) -> None:
    remarks = remarks_of(a_probe(**{**MANY, **changes}))
    assert len(remarks) == bool(remark)
    assert remark in "".join(remarks)


# --- the bytes

SECRET = "sk-planted-0123456789"


@pytest.mark.parametrize(
    ("parts", "texts"),
    [
        ([], []),
        ([b"plain \xc3\xbc"], ["plain ü"]),
        ([b"a\xff\x1f"], ["a\xff\x1f"]),
        ([b"key sk-planted-0123456789."], ["key ***."]),
        ([b"key sk-pla", b"nted-0123", b"456789."], ["key ***", "***", "***."]),
        ([b"7\r\nsk-plan\r\ne\r\nted-0123456789\r\n0\r\n"], ["7\r\n***\r\n0\r\n"]),
        ([b"7\r\nsk-plan\r\ne;x=y\r\n", b"ted-0123456789\r\n"], ["7\r\n***", "***\r\n"]),
        ([b"sk-planted-0123456789sk-planted-0123456789"], ["***"]),
        ([b"it ends with sk-plant"], ["it ends with ***"]),
        ([b"it ends with sk-plan"], ["it ends with sk-plan"]),
        ([b"sk-plant and more"], ["sk-plant and more"]),
        (
            [b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; path=/\r\nX: y\r\n"],
            ["HTTP/1.1 200 OK\r\nSet-Cookie: ***\r\nX: y\r\n"],
        ),
        ([b"X: y\r\nset-cookie: a=", b"b\r\nX: y\r\n"], ["X: y\r\nset-cookie: ***", "***\r\nX: y\r\n"]),
        ([b"POST / HTTP/1.1\r\nAuthorization: Basic QQ==\r\n\r\n"], ["POST / HTTP/1.1\r\nAuthorization: ***\r\n\r\n"]),
    ],
)
def test_no_secret_is_in_the_bytes_however_they_are_cut(parts: list[bytes], texts: list[str]) -> None:
    made = shown(parts, [SECRET])
    assert [each.text for each in made] == texts
    assert [each.encoding for each in made] == ["latin-1" if b"\xff" in part else "utf-8" for part in parts]


def test_bytes_are_shown_with_their_line_breaks() -> None:
    [line, other] = text._text(shown([b"a\xc3\xbc\r\nb\x1b"], [])[0])
    assert (line.plain, other.plain) == (r"  aü\r\n", r"  b\x1b")
    [line] = text._text(shown([b"a\xc3"], [])[0])
    assert line.plain == r"  a\xc3"
