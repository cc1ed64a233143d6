"""Whatever decides what a request asks, the request has all that its task says."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from helpers.bench import Bench
from helpers.live_load import ANSWER, task_of

from llmstress.coordinator.prompts.read import read_prompts
from llmstress.coordinator.prompts.source import PromptSource
from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.checks.check import split_check
from llmstress.engine.checks.judge import HIDDEN
from llmstress.engine.control import Conversation, FlowStep, TaskPlan, Think
from llmstress.engine.flows.extraction import Extraction
from llmstress.engine.load.build import Context, build_entry, build_maker, build_task
from llmstress.engine.load.flows import Users
from llmstress.engine.load.request_maker import RequestMaker
from llmstress.engine.load.sessions import SessionKind
from llmstress.engine.prompts.file import FromFiles
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Drawn, Synthetic
from llmstress.engine.stream.checking import Checked
from llmstress.engine.stream.link import Dials
from llmstress.engine.stream.observer import Both, Observer
from llmstress.engine.stream.recorder import Recorder
from llmstress.engine.stream.task import Request

TALK = Conversation(fewest=1, most=1, keeps_answers=False, think=Think(), seed=1)
KINDS: dict[str, dict[str, Any]] = {
    "single": {},
    "conversation": {"step": "turn 1", "conversation": TALK},
    "flow": {"step": "a", "flow": FlowStep()},
}


def first_of(plan: TaskPlan, **context: Any) -> Request:
    """The first request of a plan."""
    task = build_task(plan, Context(Recorder(0), random.random, **context), cast(Dials, None))
    entry = build_entry((plan,), (task,), Users(0, 1))
    request = entry.begin(0, "").first() if isinstance(entry, SessionKind) else entry.request(0)
    assert request is not None
    return request


def body_of(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.data.partition(b"\r\n\r\n")[2])
    return found


def plan_of(**changes: Any) -> TaskPlan:
    return task_of("http://127.0.0.1/v1/chat/completions", ask=Ask(model="m", ignore_eos=True), **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_request_has_limit_least_length_and_observers_of_its_task(kind: str) -> None:
    drawn = Synthetic(output=Lengths("fixed", 7), seed=1, salt=1)
    request = first_of(plan_of(synthetic=drawn, checks=(split_check("min-tokens:2"),), **KINDS[kind]))
    assert body_of(request)["max_tokens"] == request.least_output == request.asked_output == 7
    assert isinstance(request.observer, Checked)


def test_a_check_of_a_step_that_gives_a_secret_does_not_show_the_answer() -> None:
    flow = FlowStep(extracts=(Extraction("token", "json", "token", secret=True),))
    request = first_of(plan_of(checks=(split_check("contains:x"),), step="a", flow=flow))
    bench = Bench(observer=request.observer)
    bench.begin()
    bench.read(2, ANSWER)
    [sample] = bench.cut().samples
    assert sample.text == f"contains:x: {HIDDEN}"


def test_the_lengths_of_a_trace_are_asked_of_requests_that_are_observed() -> None:
    lengths: Callable[[int], int] = lambda _: 7  # noqa: E731
    request = first_of(plan_of(checks=(split_check("min-tokens:2"),)), lengths=lengths)
    assert body_of(request)["max_tokens"] == request.least_output == request.asked_output == 7
    assert isinstance(request.observer, Checked)


@pytest.mark.parametrize("kind", ["single", "conversation"])
def test_members_that_a_row_has_are_in_the_body(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"session_id": "s", "turns": [{"text": "why?", "output_length": 9, "extra": {"top_k": 3}}]}
    path.write_text(json.dumps(row) + "\n")
    known = read_prompts(PromptSource(str(path)), {"XDG_CACHE_HOME": str(tmp_path)}, tmp_path)
    prompts = FromFiles(files=known.files, order="sequential", seed=1, salt=2)
    request = first_of(plan_of(prompts=prompts, **KINDS[kind]))
    body = body_of(request)
    assert body["messages"] == [{"role": "user", "content": "why?"}]
    assert (body["top_k"], body["max_tokens"], request.asked_output) == (3, 9, 9)


def test_an_observer_of_whoever_asks_is_beside_those_of_the_task() -> None:
    plan = plan_of(checks=(split_check("min-tokens:2"),))
    maker, task, own = build_maker(plan, make_api(plan.api, plan.ask)), Bench().task, Observer()
    made = maker.make(task, 5, Drawn("why?", 3), observer=own)
    other = maker.observed(Request(task, b"GET / HTTP/1.1\r\n\r\n", observer=own), 5)
    assert body_of(made)["messages"] == [{"role": "user", "content": "why?"}]
    assert isinstance(made.observer, Both)
    assert isinstance(other.observer, Both)
    assert other.data.startswith(b"GET /")
    plain = RequestMaker(make_api(plan.api, plan.ask), lambda ask, _: msgspec.json.encode(ask))
    assert plain.make(task, 5, Drawn("why?", 3), observer=own).observer is own
