"""Every API against the mock: what the engine counts is what was sent, however it was sent and whatever went wrong."""

import asyncio
from typing import Any, NamedTuple

import pytest
from helpers.live_load import live
from helpers.processes import mock_server
from helpers.short_runs import Outcome, load

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Timeouts
from llmstress.engine.telemetry.histogram import Histogram

MODEL = "mock-7b"
PROMPT_BODY = '{"prompt": "{prompt}"}'


class Way(NamedTuple):
    """A way to ask the mock."""

    api: str
    base: str = ""
    ask: Ask = Ask(model=MODEL, prompt="Hello there")


TEXT = Way("text", "/text", Ask(prompt="Hello", body=PROMPT_BODY))
EVENTS = {
    "openai-chat": Way("openai-chat"),
    "openai-completions": Way("openai-completions"),
    "openai-responses": Way("openai-responses"),
    "anthropic": Way("anthropic"),
    "azure-openai": Way("azure-openai"),
    "azure-openai v1": Way("azure-openai", "/openai/v1"),
    "sse": Way("sse", "/stream?prompt={prompt}", Ask(prompt="Hello there")),
}
STREAMED = EVENTS | {"text": TEXT}
WHOLE = {
    name: way._replace(ask=Ask(model=MODEL, prompt="Hello there", stream=False))
    for name, way in EVENTS.items()
    if name != "sse"
} | {
    "openai-embeddings": Way("openai-embeddings", ask=Ask(model=MODEL, prompt="Hello there", batch=3)),
    "openai-embeddings, base64": Way("openai-embeddings", ask=Ask(model=MODEL, prompt="Hello", encoding="base64")),
    "http": Way("http", "/json", Ask(prompt="Hello")),
}

STOPPED = {"stop", "end_turn"}
LIMITED = {"length", "max_tokens", "max_output_tokens"}
CALLED = {"tool_calls", "tool_use"}
UNTOLD = {"[DONE]", "end of body"}
"""What the finish is called of answers that don't say why they end."""

REQUESTS = 6


async def ask(url: str, way: Way, **changes: Any) -> Outcome:
    """What becomes of a few requests."""
    api = make_api(way.api, way.ask)
    path, _, query = way.base.partition("?")
    endpoint = api.endpoint(path, query)
    target = endpoint.path + (f"?{endpoint.query}" if endpoint.query else "")
    asked = {"requests": REQUESTS, "headers": api.headers("sk-test"), **changes}
    return await load(url, api=way.api, ask=way.ask, path=target, **asked)


async def ask_all(url: str, ways: dict[str, Way], **changes: Any) -> dict[str, Outcome]:
    """The same of several, at the same time."""
    found = await asyncio.gather(*(ask(url, way, **changes) for way in ways.values()))
    return dict(zip(ways, found, strict=True))


def sum_of(outcomes: dict[str, Outcome], counter: str) -> int:
    return sum(getattr(outcome.part.counters, counter) for outcome in outcomes.values())


def finishes(outcomes: dict[str, Outcome], completed: str = "stop") -> dict[str, int]:
    """How many answers ended so, in the mock's words; `completed` is what that word of one API stands for."""
    found: dict[str, int] = {}
    for outcome in outcomes.values():
        for reason, n in outcome.part.finish.items():
            names = {"stop": STOPPED, "length": LIMITED, "tool_call": CALLED, "": UNTOLD}
            name = completed if reason == "completed" else next(key for key in names if reason in names[key])
            found[name] = found.get(name, 0) + n
    found.pop("", None)
    return found


def latency(outcomes: dict[str, Outcome], metric: str) -> Histogram:
    total = Histogram()
    for outcome in outcomes.values():
        if metric in outcome.part.latency:
            total.merge(outcome.part.latency[metric])
    return total


def assert_ok(outcomes: dict[str, Outcome]) -> None:
    """All requests of all of them ended well."""
    assert {name: outcome.ended for name, outcome in outcomes.items()} == {name: {"ok": REQUESTS} for name in outcomes}


HOWS = {
    "plainly": (),
    "over several connections and processes": ("--procs", "2"),
    "with CRLF": ("--crlf",),
    "with pings": ("--ping-every-ms", "7"),
    "with reasoning": ("--reasoning", "3"),
    "with hidden reasoning": ("--hidden-reasoning", "5"),
    "with a tool's call": ("--tool-call",),
    "always with usage": ("--usage", "always"),
    "without usage": ("--usage", "never"),
    "without a last word": ("--no-done",),
    "in answers of any length": ("--tokens", "2..20"),
    "with three tokens an event": ("--tokens-per-event", "3", "--tokens", "10"),
    "until the connection closes": ("--close",),
    "with delays of any length": ("--delays", "exponential"),
    "with chatter between the tokens": ("--fault", "keepalive_events=100%"),
}


@pytest.mark.untraced
@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
@live
async def test_what_was_sent_is_what_is_counted(how: tuple[str, ...]) -> None:
    with mock_server("--ttft-ms", "60", "--gap-ms", "40", *how) as server:
        found = await ask_all(server.url, EVENTS)
        truth = server.stop()
    assert_ok(found)
    assert truth["done"] == REQUESTS * len(EVENTS)
    assert finishes(found, "tool_call" if "--tool-call" in how else "stop") == truth["endings"]
    assert sum_of(found, "usage_seen") == truth["usage"]["answers"]
    told = {name: outcome for name, outcome in found.items() if outcome.part.counters.usage_seen}
    assert sum_of(told, "output") == truth["usage"]["output"]
    assert sum_of(told, "input") == truth["usage"]["input"]
    assert sum_of(told, "reasoning") == truth["usage"]["reasoning"]
    assert sum_of(found, "events") == truth["events"]
    assert found["anthropic"].part.counters.events == truth["apis"]["anthropic"]["events"]
    ttft, itl = latency(found, "ttft"), latency(found, "itl")
    assert (ttft.count, itl.count) == (truth["ttft_ms"]["count"], truth["gap_ms"]["count"])
    assert ttft.mean is not None
    late_ms = ttft.mean / 1000 - truth["ttft_ms"]["mean"]
    assert -0.01 <= late_ms < 200, "what is sent is read no sooner, and not much later; all tokens take 280 ms more"
    if itl.count:
        assert itl.mean is not None
        assert itl.mean / 1000 == pytest.approx(truth["gap_ms"]["mean"], rel=0.3, abs=2)


BLOCKS = {
    "byte by byte": ("--one-byte-writes",),
    "several events in one piece": ("--events-per-write", "3"),
    "compressed": ("--gzip",),
    "held back to the end": ("--content-length",),
}


@pytest.mark.untraced
@pytest.mark.parametrize("how", BLOCKS.values(), ids=BLOCKS)
@live
async def test_events_are_counted_whatever_the_reads(how: tuple[str, ...]) -> None:
    with mock_server(*how) as server:
        found = await ask_all(server.url, EVENTS)
        truth = server.stop()
    assert_ok(found)
    assert sum_of(found, "events") == truth["events"]
    assert finishes(found) == truth["endings"]
    assert sum_of(found, "input") == truth["usage"]["input"]
    assert (latency(found, "ttft").count, latency(found, "itl").count) == (
        truth["ttft_ms"]["count"],
        truth["gap_ms"]["count"],
    )


@pytest.mark.slow
@live
async def test_bare_text_is_counted_in_reads() -> None:
    """Nothing else tells its events apart: how many there are depends on the way, but not how many answers."""
    for how in [HOWS["plainly"], HOWS["with pings"], HOWS["until the connection closes"], *BLOCKS.values()]:
        with mock_server(*how) as server:
            found = await ask(server.url, TEXT)
            truth = server.stop()
        assert found.ended == {"ok": REQUESTS} == {"ok": truth["done"]}
        if how not in (HOWS["with pings"], BLOCKS["byte by byte"]):
            assert REQUESTS <= found.part.counters.events <= truth["events"]
        assert found.part.latency["ttft"].count == REQUESTS


@live
async def test_whole_answers_have_tokens_and_no_ttft() -> None:
    with mock_server() as server:
        found = await ask_all(server.url, WHOLE)
        truth = server.stop()
    assert_ok(found)
    assert finishes(found) == truth["endings"]
    assert sum_of(found, "output") == truth["usage"]["output"]
    assert sum_of(found, "input") == truth["usage"]["input"]
    assert sum_of(found, "inputs") == truth["inputs"] == REQUESTS * 4
    assert sum_of(found, "events") == latency(found, "ttft").count == 0
    assert latency(found, "e2e").count == REQUESTS * len(WHOLE)


QUICK = Timeouts(30, 300_000_000, 300_000_000, 0)
"""For answers that hang: nothing here takes longer to come."""
FOREVER = Timeouts(30, 0, 0, 300_000_000)

# fault -> class, and the class of those APIs that have no words for it
FAULTS: dict[str, tuple[str, dict[str, str]]] = {
    "reset_before_head": ("reset", {}),
    "close_before_head": ("reset", {}),
    "http_400": ("http_400", {}),
    "http_401": ("http_401", {}),
    "http_404": ("http_404", {}),
    "http_429": ("rate_limited", {}),
    "http_quota": ("quota", {"text": "rate_limited", "sse": "rate_limited"}),
    "http_500": ("http_500", {}),
    "http_503_html": ("http_503", {}),
    "http_529": ("rate_limited", {}),
    "stall_first_token": ("timeout_first_token", {}),
    "stall_mid_stream": ("timeout_idle", {}),
    "error_event": ("stream_error", {"text": "truncated"}),
    "malformed_json": ("malformed", {"text": "ok", "sse": "ok"}),
    "cut": ("truncated", {}),
    "cut_close_delimited": ("truncated", {"text": "ok", "sse": "ok"}),
    "reset_mid_stream": ("truncated", {}),
    "no_finish": ("truncated", {"text": "ok", "sse": "ok"}),
    "never_ends": ("timeout_total", {}),
    "empty": ("empty", {}),
    "filtered": ("filtered", {"text": "ok", "sse": "ok"}),
    "no_usage": ("ok", {}),
    "keepalive_events": ("ok", {}),
}


@pytest.mark.parametrize(("fault", "outcome", "others"), [(name, *rest) for name, rest in FAULTS.items()], ids=FAULTS)
@live
async def test_a_fault_of_the_mock_ends_in_its_class(fault: str, outcome: str, others: dict[str, str]) -> None:
    timeouts = FOREVER if fault == "never_ends" else QUICK
    with mock_server("--fault", f"{fault}=100%") as server:
        found = await ask_all(server.url, STREAMED, timeouts=timeouts, requests=3)
        truth = server.stop()
    expected = {name: {others.get(name, outcome): 3} for name in STREAMED}
    assert {name: each.ended for name, each in found.items()} == expected
    assert truth["faults"] == {fault: 3 * len(STREAMED)}


@live
async def test_faults_by_chance_are_those_that_the_mock_had() -> None:
    shares = {"http_500": "20%", "error_event": "20%", "cut": "20%", "filtered": "20%"}
    faults = [word for name, share in shares.items() for word in ("--fault", f"{name}={share}")]
    with mock_server(*faults, "--seed", "7") as server:
        found = await ask(server.url, EVENTS["openai-chat"], requests=60, streams=4)
        truth = server.stop()
    had = truth["faults"]
    assert set(had) == set(shares), "all of them occurred"
    assert found.ended == {
        "ok": 60 - sum(had.values()),
        "http_500": had["http_500"],
        "stream_error": had["error_event"],
        "truncated": had["cut"],
        "filtered": had["filtered"],
    }
    found.part.settle()
    failed, good = found.part.latency_failed, found.part.latency
    assert failed["ttft"].count == truth["ttft_failed_ms"]["count"]
    assert good["ttft"].count == truth["ttft_ms"]["count"]
