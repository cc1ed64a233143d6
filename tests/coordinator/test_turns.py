"""Conversations: from the text of a flag to the plans of the workers, and to the table at the end."""

from typing import Any

import pytest
from helpers.made_options import options, plans_of

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_text import Rate, Turns, parse_rate, parse_turns
from llmstress.coordinator.config.step_names import turn_names
from llmstress.coordinator.config.tasks import OwnOptions
from llmstress.coordinator.output.conversations import conversation_lines, conversations_of
from llmstress.coordinator.run.load_plan import profile_of
from llmstress.coordinator.run.turns import check_turns
from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.context_limit import says_context_is_full
from llmstress.engine.control import Think
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.broadcast import StepFacts
from llmstress.engine.telemetry.histogram import Histogram
from llmstress.engine.telemetry.messages import Counters, Part, Phase, key_of

SECOND = Think(low_ns=10**9, high_ns=10**9)
FIVE: Rate = parse_rate("5/s")


@pytest.mark.parametrize(("text", "turns"), [("8", (8, 8)), (" 2..10 ", (2, 10)), ("1", (1, 1)), ("3..3", (3, 3))])
def test_turns_are_read(text: str, turns: tuple[int, int]) -> None:
    found = parse_turns(text)
    assert (found.fewest, found.most) == turns
    assert parse_turns(str(found)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [("0", "from 1 to 1,000"), ("4..2", "first number is higher"), ("2..1001", "from 1"), ("many", "like 8, or 2..10")],
)
def test_what_are_no_turns_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_turns(text)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"answers": "server"}, "--answers is for conversations"),
        ({"turns": Turns(3, 3), "rate": parse_rate("100k-tokens/s")}, "the rate is one of conversations"),
        ({"turns": Turns(3, 3), "trace": "t.csv"}, "--turns can't be used with --trace"),
        ({"turns": Turns(3, 3), "prompt_ids": (1, 2)}, "--turns needs texts"),
        ({"turns": Turns(3, 3), "api": "sse", "body": "fixed"}, "--turns needs a place in --body"),
        ({"rate": FIVE, "think": SECOND}, "--think-time is for streams"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        options(**changes)


@pytest.mark.parametrize(
    ("api", "ask", "why"),
    [
        ("openai-embeddings", Ask(prompt="x"), "isn't supported by openai-embeddings"),
        ("http", Ask(prompt="x"), "isn't supported by http"),
        ("openai-chat", Ask(prompt="x", extra={"messages": []}), "has no place for the conversation"),
    ],
)
def test_an_api_without_room_for_a_conversation_is_refused(api: str, ask: Ask, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check_turns(options(turns=Turns(2, 2)), api, make_api(api, ask), ask)
    check_turns(options(), api, make_api(api, ask), ask)


def test_each_turn_is_a_task_of_its_own_up_to_a_bound() -> None:
    assert turn_names(None) == ()
    assert turn_names(Turns(2, 3)) == ("turn 1", "turn 2", "turn 3")
    assert turn_names(Turns(20, 20))[-1] == "turn 20"
    assert turn_names(Turns(1, 50))[-2:] == ("turn 19", "turn 20+")
    assert len(turn_names(Turns(1, 50))) == 20
    plan, _ = plans_of(options(turns=Turns(2, 3), think=SECOND, answers="scripted", seed=7, procs=2))
    assert [(task.step, task.steps) for task in plan.tasks] == [("turn 1", 3), ("turn 2", 1), ("turn 3", 1)]
    talk = plan.tasks[0].conversation
    assert talk is not None
    assert (talk.fewest, talk.most, talk.keeps_answers, talk.think, talk.seed) == (2, 3, False, SECOND, 7)
    assert all(task.conversation is None for task in plan.tasks[1:])


def test_at_a_rate_conversations_arrive() -> None:
    profile = profile_of(options(turns=Turns(2, 3), rate=FIVE, think=SECOND))
    assert profile is not None
    assert profile.unit == "sessions"


def test_a_task_without_conversations_does_not_think_at_a_rate() -> None:
    tasks = (OwnOptions(name="chat", own={"turns": Turns(2, 2)}), OwnOptions(name="one"))
    (_, chat), (_, one) = options(rate=FIVE, think=SECOND, tasks=tasks).each_task
    assert (chat.think, one.think) == (SECOND, Think())


@pytest.mark.parametrize(
    "text",
    [
        '{"error":{"code":"context_length_exceeded","message":"x"}}',
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "the request exceeds the available context size (4096 tokens), try increasing it",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Input is too long for requested model.",
        "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.",
    ],
)
def test_a_full_context_is_recognised(text: str) -> None:
    assert says_context_is_full(text)


@pytest.mark.parametrize(
    "text", ["", "max_tokens is too large: 5000", "Rate limit reached for tokens per min", "context deadline exceeded"]
)
def test_other_words_are_no_full_context(text: str) -> None:
    assert not says_context_is_full(text)


def part(started: int, ok: int, failed: int, **sessions: int) -> Part:
    ttft = Histogram()
    ttft.record_many([10_000] * ok)
    counters = Counters(started=started, output=5 * ok, input=100 * ok, usage_seen=ok, **sessions)
    return Part(counters, {"ok": ok, "http_400": failed}, latency={"ttft": ttft})


def test_the_summary_adds_up_and_leaves_other_tasks_out() -> None:
    aggregate = Aggregate.over([1])
    steady = next(window.index for window in aggregate.windows if window.kind is Phase.STEADY)
    talks = {"sessions": 10, "sessions_completed": 4, "sessions_failed": 2, "sessions_overflowed": 1}
    aggregate.parts = {
        key_of(steady, 0): part(7, 7, 0),
        key_of(steady, 1): part(10, 9, 1, **talks),
        key_of(steady, 2): part(9, 7, 2),
    }
    steps = (
        StepFacts(task="one"),
        StepFacts(task="chat", step="turn 1", conversation=True),
        StepFacts(task="chat", step="turn 2", conversation=True),
    )
    found = conversations_of(aggregate, steps, 2.0)
    assert found is not None
    assert (found.started, found.completed, found.failed, found.overflowed, found.cut_off) == (10, 4, 2, 1, 3)
    assert (found.sessions_per_s, found.started_per_s) == (2.0, 5.0)
    rows = [
        (row.task, row.turn, row.started, row.ok, row.failed, row.input_mean, row.output_mean) for row in found.turns
    ]
    assert rows == [("chat", "turn 1", 10, 9, 1, 100.0, 5.0), ("chat", "turn 2", 9, 7, 2, 100.0, 5.0)]
    lines = conversation_lines(found)
    assert lines[0] == "conversations  10 started: 4 completed, 2 failed, 1 overflowed, 3 cut off   2.00 completed/s"
    assert lines[3].split()[:3] == ["chat", "turn", "1"]
    assert max(map(len, lines[2:])) <= 80
    assert conversations_of(aggregate, steps[:1], 2.0) is None
