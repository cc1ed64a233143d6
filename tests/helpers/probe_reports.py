"""Made-up reports of a probe, for tests of what is shown and advised."""

import json
from typing import Any

import msgspec

from llmstress.coordinator.output.schema import Host
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

WHERE = Where(
    version="1.2.3",
    host=Host(2, "3.11.7", "Linux"),
    started_at="2026-01-31T09:14:07.512+00:00",
    method="POST",
    url="http://llm.test:8000/v1/chat/completions",
    api="openai-chat",
    api_because="named with --api",
    model="m",
    model_because="named with --model",
    streamed=True,
    addresses=("192.0.2.7",),
    way="",
    proxied=False,
    notes=(),
)


def token(number: int, at_ms: float) -> Seen:
    delta = {"content": "abc"[number % 3]}
    data = json.dumps({"id": "chatcmpl-0123456789", "created": number, "choices": [{"index": 0, "delta": delta}]})
    return Seen(number, at_ms, 20.0 if number > 1 else None, ("token",), "", len(data), data)


def strange(data: str, *what: str, name: str = "") -> Seen:
    """An event that isn't understood, unless it is said to be."""
    return Seen(1, 1.0, None, what or ("unknown",), name, len(data), data)


def a_probe(**changes: Any) -> Probe:
    """Of three tokens, 20 ms apart."""
    made = Probe(
        schema=SCHEMA,
        where=WHERE,
        attempts=(Attempt("192.0.2.7:8000", 0.1, 0.4, ""),),
        connection=Connection("192.0.2.1:4000", "192.0.2.7:8000", "", 0.1, 0.4, None, 0, True),
        asked=Asked(400, 200, ("Host", "Content-Length")),
        head=Head(200, "1.1", {"content-type": "text/event-stream"}),
        at_ms={"sent": 0.5, "head": 10.0, "first_token": 200.0, "first_answer": 200.0, "last_token": 240.0}
        | {"last_word": 241.0, "end": 242.0},
        latency_ms={"connect": 0.5, "ttfb": 9.5, "ttft": 200.0, "ttfa": 200.0, "tpot": 20.0, "e2e": 241.0},
        gaps_ms=(20.0, 20.0),
        reads=(Read(200.0, 300, 1), Read(220.0, 100, 1), Read(240.0, 100, 1), Read(242.0, 0, 0)),
        events=(token(1, 200.0), token(2, 220.0), token(3, 240.0)),
        tokens=Tokens(3, "usage", 19, None, None, 3, 0),
        collected="",
        tried_again=False,
        finish="stop",
        outcome="ok",
        words="",
        hint="",
        remarks=(),
        raw=None,
    )
    return msgspec.structs.replace(made, **changes)


def failed(outcome: str, words: str = "", **changes: Any) -> Probe:
    """Of an answer without events."""
    nothing = {"events": (), "gaps_ms": (), "tokens": Tokens(0, "events", None, None, None, 0, 0)}
    return a_probe(**{"outcome": outcome, "words": words, **nothing, **changes})
