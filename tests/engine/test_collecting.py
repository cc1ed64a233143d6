"""Events that somebody collected, gateways that give themselves away, and what must not be taken for either."""

import msgspec
import pytest
from helpers.bench import DONE, END, FINISH, HEAD, ROLE, TOKEN, Bench, chunk, delta, usage, values
from helpers.screens import opening

from llmstress.coordinator.output.redaction import scrub
from llmstress.engine.control import Timeouts
from llmstress.engine.http.gateway import signs_of, tried_again
from llmstress.engine.http.response import Head, parse_head
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.blocks import in_blocks, late_ns
from llmstress.engine.telemetry.collecting import collected
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import MAX_SIGN, MAX_SIGNS, Counters, Delta, Part, Phase
from llmstress.engine.telemetry.sanitize import sanitize_frame
from llmstress.engine.telemetry.verdict import judge

MS = 1_000_000


@pytest.mark.parametrize(
    ("events", "blocks", "lasted_ms", "wanted"),
    [
        pytest.param(64, 64, 1260, False, id="one by one"),
        pytest.param(64, 5, 1300, True, id="nginx: 4 KiB at a time"),
        pytest.param(64, 1, 0, True, id="all at once"),
        pytest.param(64, 22, 1260, False, id="three at a time, as of an engine that guesses ahead"),
        pytest.param(64, 16, 150, True, id="just four at a time, just 10 ms apart"),
        pytest.param(64, 17, 1260, False, id="just less than four at a time"),
        pytest.param(64, 16, 149, False, id="so close that it may have been made as fast"),
    ],
)
def test_when_an_answer_was_collected(events: int, blocks: int, lasted_ms: int, wanted: bool) -> None:
    assert in_blocks(events, blocks, lasted_ms * MS) is wanted


def test_how_late_a_collected_first_token_is() -> None:
    # 40 events every 10 ms, the first 16 of them at 150 ms, the last 24 until 390 ms
    assert late_ns(40, 16, 240 * MS) == 150 * MS
    assert late_ns(40, 1, 390 * MS) == 0
    assert late_ns(40, 40, 0) == 0


def answer(bench: Bench, *reads: int, begin: float = 0) -> None:
    """A request whose token events come so many to a read, 100 ms apart."""
    bench.begin(begin)
    bench.read(begin + 100, HEAD, ROLE)
    for number, events in enumerate(reads, 2):
        bench.read(begin + number * 100, *[TOKEN] * events)
    bench.read(begin + (len(reads) + 2) * 100, FINISH, usage(sum(reads)), DONE, END)


def blocks_of(counters: Counters) -> tuple[int, ...]:
    return (
        counters.long_answers,
        counters.in_blocks,
        counters.in_one_block,
        counters.blocks,
        counters.blocks_events,
        counters.blocks_late_ns // MS,
    )


@pytest.mark.parametrize(
    ("reads", "wanted"),
    [
        pytest.param([1] * 10, (1, 0, 0, 0, 0, 0), id="one by one"),
        pytest.param([8], (1, 1, 1, 1, 8, 0), id="in one piece"),
        pytest.param([7], (0, 0, 0, 0, 0, 0), id="too few to tell"),
        pytest.param([6, 5, 5], (1, 1, 0, 3, 16, 100), id="in blocks"),
        pytest.param([9, 1, 1, 1], (1, 0, 0, 0, 0, 0), id="a burst, then one by one"),
        pytest.param([1, 1, 10, 10], (1, 1, 0, 4, 22, 0), id="blocks that the first token is not of"),
    ],
)
def test_what_reads_tell_of_blocks(reads: list[int], wanted: tuple[int, ...]) -> None:
    bench = Bench()
    answer(bench, *reads)
    assert blocks_of(bench.steady().counters) == wanted


def test_answers_are_told_apart_on_one_connection() -> None:
    bench = Bench()
    answer(bench, 8, 8)
    answer(bench, *[1] * 8, begin=1000)
    answer(bench, 12, begin=3000)
    assert blocks_of(bench.steady().counters) == (3, 2, 1, 3, 28, 87)


def test_choices_that_come_together_are_no_blocks() -> None:
    bench = Bench()
    bench.begin()
    bench.read(100, HEAD)
    for ms in range(200, 300, 10):
        bench.read(ms, *(delta(index=index, content="a") for index in range(4)))
    bench.read(300, FINISH, usage(40), DONE, END)
    assert blocks_of(bench.steady().counters) == (0, 0, 0, 0, 0, 0)


def test_answers_that_fail_say_nothing_of_blocks() -> None:
    bench = Bench()
    bench.begin()
    bench.read(100, HEAD, *[TOKEN] * 20)
    bench.lose(None)
    part = bench.steady()
    assert part.ended == {"truncated": 1}
    assert blocks_of(part.counters) == (0, 0, 0, 0, 0, 0)


def counted(**changes: int) -> Counters:
    """Ten long answers, all collected: five blocks of 16 events each, 160 ms apart, the first one 150 ms late."""
    given = {
        "long_answers": 10,
        "in_blocks": 10,
        "blocks": 50,
        "blocks_events": 800,
        "blocks_late_ns": 1500 * MS,
        "blocks_dated": 10,
        "blocks_gaps_ns": 40 * 160 * MS,
    }
    return Counters(**{**given, **changes})


@pytest.mark.parametrize(
    ("counters", "signs", "words"),
    [
        (counted(), [], ["in 100% of them 16.0 token events", "about 150 ms late", "The target or a proxy", "nginx: "]),
        (
            counted(),
            ["server: uvicorn"],
            ["(the answers' headers: server: uvicorn)", "or let the target write events"],
        ),
        (
            counted(),
            ["server: nginx/1.22.1"],
            ["server: nginx/1.22.1", "server: nginx/1.22.1): set proxy_buffering off in nginx"],
        ),
        (
            counted(),
            ["via: 1.1 x", "content-encoding: gzip"],
            ["via: 1.1 x, content-encoding", "turn off compression of text/"],
        ),
        (counted(long_answers=40), [], ["in 25% of them"]),
        (
            counted(in_one_block=10, blocks=10, blocks_late_ns=0),
            [],
            ["one piece: in 100% of them all", "have no meaning"],
        ),
        (
            counted(in_one_block=5, blocks=30, blocks_late_ns=750 * MS, blocks_dated=5),
            [],
            ["26.7 token events", "about 150 ms late"],
        ),
        (counted(blocks_dated=5), [], ["about 300 ms late"]),
        (counted(blocks_dated=4), [], ["shared a read, so itl measures blocks"]),
    ],
    ids=[
        "nobody named",
        "an engine named",
        "nginx",
        "compressed",
        "some",
        "in one piece",
        "some in one piece",
        "half of them dated",
        "most of them not as fast as their blocks",
    ],
)
def test_what_is_said_of_blocks(counters: Counters, signs: list[str], words: list[str]) -> None:
    found = collected(counters, signs)
    assert found is not None
    assert found.share == counters.in_blocks / counters.long_answers
    for word in words:
        assert word in found.text


def test_nothing_is_said_without_blocks() -> None:
    assert collected(Counters(long_answers=10), ["server: nginx/1.22.1"]) is None
    assert collected(Counters(), []) is None


def run(counters: Counters, *, lag_us: int = 100, phase: Phase = Phase.STEADY) -> Aggregate:
    total = Aggregate.over([10])
    lag = Histogram()
    lag.record_many([lag_us] * 1000)
    parts = {int(phase): Part(counters=counters, ended={"ok": 10})}
    parts.setdefault(Phase.STEADY, Part()).latency["loop_lag"] = lag
    total.merge(Delta(0, 0, 0, 10_000 * MS, phase, 0, 10, 0, 1, parts, []))
    return total


ALL = counted(started=10, events=800, events_ok=800, events_shared=800, usage_seen=10, output=800, output_streamed=800)


def judged(aggregate: Aggregate) -> tuple[str, bool, bool, bool]:
    """Status; whether blocks are a reason, or a note; whether it is left open who made them."""
    verdict = judge(aggregate, 10)
    return (
        verdict.status,
        any(text.startswith("answers come in") for text in verdict.reasons),
        any(text.startswith("answers come in") for text in verdict.notes),
        any("or this client read them late" in text for text in verdict.notes),
    )


@pytest.mark.parametrize(
    ("counters", "lag_us", "wanted"),
    [
        pytest.param(ALL, 100, ("degraded", True, False, False), id="all"),
        pytest.param(counted(long_answers=19), 100, ("degraded", True, False, False), id="more than half"),
        pytest.param(counted(long_answers=20), 100, ("valid", False, True, False), id="half"),
        pytest.param(counted(long_answers=999), 100, ("valid", False, True, False), id="just enough for p99"),
        pytest.param(counted(long_answers=1000), 100, ("valid", False, False, False), id="one in a hundred"),
        pytest.param(ALL, 1_900, ("degraded", True, False, False), id="a client that is hardly late"),
        pytest.param(ALL, 39_000, ("degraded", True, False, False), id="a client not late enough for such blocks"),
        pytest.param(ALL, 41_000, ("degraded", False, False, True), id="a client that is late enough"),
        pytest.param(
            msgspec.structs.replace(ALL, blocks_late_ns=60_000 * MS),
            41_000,
            ("degraded", False, False, True),
            id="a client that is late enough, whatever is said of ttft",
        ),
        pytest.param(
            msgspec.structs.replace(ALL, in_one_block=10, blocks=10, blocks_late_ns=0, blocks_gaps_ns=0),
            1_990,
            ("degraded", True, False, False),
            id="in one piece",
        ),
        pytest.param(
            msgspec.structs.replace(ALL, in_one_block=10, blocks=10, blocks_late_ns=0, blocks_gaps_ns=0),
            2_100,
            ("degraded", False, False, True),
            id="in one piece, read by a late client",
        ),
        pytest.param(
            msgspec.structs.replace(ALL, cpu_ns=9_100 * MS),
            100,
            ("degraded", False, False, True),
            id="a client without time",
        ),
        pytest.param(
            msgspec.structs.replace(ALL, in_blocks=0), 100, ("valid", False, False, True), id="some other cause"
        ),
    ],
)
def test_what_the_verdict_makes_of_blocks(
    counters: Counters, lag_us: int, wanted: tuple[str, bool, bool, bool]
) -> None:
    assert judged(run(counters, lag_us=lag_us)) == wanted


def test_answers_that_end_in_the_drain_count_and_those_of_the_ramp_do_not() -> None:
    assert judged(run(ALL, phase=Phase.DRAIN)) == ("degraded", True, False, False)
    assert judged(run(ALL, phase=Phase.RAMP)) == ("valid", False, False, True)


def head(*lines: str) -> Head:
    made = parse_head("\r\n".join(["HTTP/1.1 200 OK", *lines]).encode("latin-1"))
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("lines", "signs"),
    [
        (["Content-Type: text/event-stream", "Date: now", "X-Request-Id: 7"], []),
        (["Server: nginx/1.26.2", "Via: 1.1 a, 1.1 b"], ["server: nginx/1.26.2", "via: 1.1 a, 1.1 b"]),
        (["CF-RAY: 8a-FRA", "server: cloudflare"], ["server: cloudflare", "cf-ray"]),
        (["x-litellm-version: 1.106.2", "x-litellm-call-id: 9"], ["x-litellm-version: 1.106.2"]),
        (["content-encoding: gzip"], ["content-encoding: gzip"]),
        (["content-encoding: Identity"], []),
        (["server: \x1b[31mred\x85"], ["server: ?[31mred?"]),
    ],
    ids=[
        "nobody",
        "nginx",
        "Cloudflare",
        "LiteLLM",
        "somebody who compresses",
        "uncompressed",
        "no good for a terminal",
    ],
)
def test_signs_of_a_gateway(lines: list[str], signs: list[str]) -> None:
    assert signs_of(head(*lines)) == signs


@pytest.mark.parametrize(
    ("retries", "fallbacks", "wanted"),
    [("0", "0", False), ("1", "0", True), ("0", "10", True), ("00", "", False), ("many", "-1", False)],
)
def test_attempts_before_this_one(retries: str, fallbacks: str, wanted: bool) -> None:
    lines = [f"X-LiteLLM-Attempted-Retries: {retries}", f"x-litellm-attempted-fallbacks: {fallbacks}"]
    assert tried_again(head(*lines)) is wanted
    assert tried_again(head()) is False


def answer_with(*lines: str) -> bytes:
    body = b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body


def ask(bench: Bench, *answers: bytes) -> Delta:
    for said in answers:
        bench.begin()
        bench.read(10, said)
    return bench.cut()


def test_signs_are_few_short_and_without_secrets() -> None:
    bench = Bench(streamed=False)
    names = ["nginx", "a sk-secret", "x" * 300, "nginx", *(f"number {n}" for n in range(9))]
    signs = ask(bench, *(answer_with(f"server: {name}") for name in names)).signs
    assert signs[:3] == ["server: nginx", "server: a ***", "server: " + "x" * (MAX_SIGN - 8)]
    assert len(signs) == MAX_SIGNS == 5
    assert ask(bench).signs == signs, "each report names all: none is lost with another report"


def test_each_answer_that_was_tried_again_is_counted_whatever_comes_between() -> None:
    bench = Bench(streamed=False)
    first, again = (answer_with(f"x-litellm-attempted-retries: {n}") for n in (0, 2))
    counters = ask(bench, first, again, again, first, first, again).parts[Phase.STEADY].counters
    assert counters.tried_again == 3


def test_a_failure_s_head_tells_as_well() -> None:
    bench = Bench(streamed=False)
    bench.begin()
    bench.read(10, b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 2\r\n\r\nno")
    assert bench.cut().signs == ["server: nginx"]


def test_signs_of_all_workers_are_merged_and_bounded() -> None:
    total = Aggregate.over([1, 1])
    for seq, (worker, signs) in enumerate([(0, ["a"]), (1, ["b", "a"]), (0, list("acdefg"))]):
        total.merge(Delta(worker, seq, 0, seq + 1, Phase.STEADY, 0, 0, 0, 0, {}, [], signs))
    assert total.signs == ["a", "b", "c", "d", "e"]


def test_hidden_attempts_are_noted() -> None:
    verdict = judge(run(Counters(tried_again=3)), 10)
    assert verdict.status == "valid"
    assert any(note.startswith("3 answers were not a gateway's first attempt") for note in verdict.notes)


def test_signs_are_scrubbed_and_sanitized_on_their_way_to_viewers() -> None:
    made = Delta(0, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {}, [], ["server: sk-123456", "via: \x1b[2J"])
    scrubbed = scrub(made, ["sk-123456"])
    assert scrubbed.signs == ["server: ***", "via: \x1b[2J"]
    assert sanitize_frame(scrubbed) is scrubbed
    assert scrubbed.signs == ["server: ***", "via: \\x1b[2J"]
    view = opening()
    view.aggregate.signs = ["via: \x1b[2J"]
    sanitize_frame(view)
    assert view.aggregate.signs == ["via: \\x1b[2J"]


PROCESSING = b": OPENROUTER PROCESSING\n\n"


def test_comments_of_a_gateway_that_waits_are_no_tokens_and_part_no_events() -> None:
    bench = Bench()
    bench.begin()
    bench.read(100, HEAD, chunk(PROCESSING))
    for ms in (1000, 2000):
        bench.read(ms, chunk(PROCESSING))
    bench.read(3000, chunk(PROCESSING) + TOKEN)
    bench.read(3020, TOKEN)
    assert bench.stream.fast is not None
    bench.read(3030, chunk(PROCESSING))
    bench.read(3050, TOKEN)
    assert bench.stream.fast is not None, "a comment is no reason to leave the fast path for good"
    bench.read(3060, chunk(PROCESSING * 3) + TOKEN)
    bench.read(3061, chunk(PROCESSING) + FINISH, usage(4), DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "ttft") == [3000]
    assert values(part.latency, "itl") == [10, 20, 30]
    assert (part.counters.events, part.counters.events_shared, part.counters.events_unknown) == (4, 0, 0)


def test_comments_of_a_gateway_that_waits_are_no_progress_towards_a_token() -> None:
    bench = Bench(timeouts=Timeouts(0, 5000 * MS, 2000 * MS, 0))
    bench.begin()
    bench.read(100, HEAD)
    for ms in range(1000, 6000, 1000):
        bench.read(ms, chunk(PROCESSING))
        bench.stream.check(bench.now)
        assert bench.stream.exchange is not None, "somebody is there: it isn't idle"
    bench.at(5001).stream.check(bench.now)
    assert bench.steady().ended == {"timeout_first_token": 1}


@pytest.mark.parametrize("ping", [b": ping\n\n", b":\n\n", b"event: ping\ndata: {}\n\n", b": ping - now\r\n\r\n"])
def test_pings_between_tokens_are_no_tokens(ping: bytes) -> None:
    bench = Bench()
    bench.begin()
    bench.read(100, HEAD, chunk(ping))
    for ms in (200, 220, 240):
        bench.read(ms, TOKEN)
        bench.read(ms + 10, chunk(ping))
    bench.read(260, FINISH, usage(3), DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "ttft") == [200]
    assert values(part.latency, "itl") == [20, 20]


def test_events_and_chunks_need_not_be_cut_alike() -> None:
    """Several events in one chunk, one event over three chunks, a comment within both: each has the stamp of the read
    that completes it."""
    token = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    bench = Bench()
    bench.begin()
    bench.read(100, HEAD)
    bench.read(200, chunk(token + PROCESSING + token + token[:20]))
    bench.read(230, chunk(token[20:40]))
    bench.read(250, chunk(token[40:-1]))
    bench.read(260, chunk(token[-1:] + PROCESSING + token[:-1]))
    bench.read(300, chunk(b"\n" + token))
    bench.read(310, FINISH, usage(6), DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "ttft") == [200]
    assert values(part.latency, "itl") == [0, 0, 40, 60]
    assert part.counters.events == 5
