"""What ends a run early, why a run ended, and the exit code."""

import signal
from typing import Any

import pytest
from helpers.summaries import facts_of

from llmstress.coordinator.config.errors import ExitCode
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import MaxErrors
from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import summarise
from llmstress.coordinator.run.ending import Limit, exit_code, exit_code_reason, limit_reached, tokens_so_far, why_ended
from llmstress.engine.control import Final
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, ErrorSample, Part, Phase


def options(**changes: Any) -> Options:
    return Options(procs=2, prompt="p", **changes)


def after(ended: dict[str, int] | None = None, **counters: int) -> Aggregate:
    """The measurements of two workers, half of them in each phase."""
    aggregate = Aggregate.over([5, 5])
    part = Part(counters=Counters(**counters), ended=ended or {})
    aggregate.merge(Delta(1, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {Phase.STEADY: part}, []))
    return aggregate


@pytest.mark.parametrize(
    ("counters", "tokens"),
    [
        pytest.param({}, 0, id="nothing yet"),
        pytest.param({"events": 8, "events_ok": 8, "output": 16, "input": 5}, 21, id="ok, several tokens an event"),
        pytest.param({"events": 7}, 7, id="in flight"),
        pytest.param({"events": 7, "output_failed": 7}, 7, id="failed"),
        pytest.param({"events": 9, "output_failed": 3, "output_cancelled": 2}, 9, id="failed, cut off, and in flight"),
        pytest.param({"output": 100, "input": 1}, 101, id="in one piece"),
        pytest.param({"events": 30, "events_ok": 10, "output": 25, "input": 4, "output_failed": 5}, 49, id="all of it"),
    ],
)
def test_tokens_are_all_that_were_paid_for(counters: dict[str, int], tokens: int) -> None:
    measured = after(None, **counters)
    assert tokens_so_far(measured) == tokens
    assert limit_reached(options(max_total_tokens=tokens + 1), measured) is None
    if tokens:
        reached = limit_reached(options(max_total_tokens=tokens), measured)
        assert reached == Limit("quota", f"--max-total-tokens is reached ({tokens} tokens)")


@pytest.mark.parametrize(
    ("limit", "ended", "reached"),
    [
        (None, {"reset": 1000}, False),
        (MaxErrors(3, None), {"ok": 9, "reset": 2}, False),
        (MaxErrors(3, None), {"ok": 9, "reset": 2, "http_500": 1}, True),
        (MaxErrors(3, None), {"cancelled": 9, "filtered": 9, "lost": 9}, False),
        (MaxErrors(None, 0.5), {"reset": 99}, False),
        (MaxErrors(None, 0.5), {"reset": 50, "ok": 50}, True),
        (MaxErrors(None, 0.5), {"reset": 50, "ok": 51}, False),
        (MaxErrors(None, 0.5), {"reset": 50, "ok": 50, "cancelled": 90}, True),
    ],
)
def test_too_many_errors(limit: MaxErrors | None, ended: dict[str, int], reached: bool) -> None:
    found = limit_reached(options(max_errors=limit), after(ended))
    assert (found is not None) == reached
    assert found is None or found.ended_by == "errors"


KEY_WORDS = '{"error": { "message": "wrong key"}}'
KEY = ErrorSample("http_401", 401, '{"error": {\n  "message": "wrong key"}}', "req-1")
ODD = ErrorSample("http_404", 404, "\x1b[31mno such\r\nplace\x07", "")
MONEY = ErrorSample("quota", 429, "insufficient_quota", "")
BUSY = ErrorSample("rate_limited", 529, "", "")


@pytest.mark.parametrize(
    ("fatal", "ended", "events", "limit"),
    [
        ({}, {"http_401": 9}, 0, None),
        (
            {"end-first": KEY},
            {"http_401": 9, "reset": 1},
            0,
            Limit("errors", f"the first answer is http_401: {KEY_WORDS}"),
        ),
        ({"end-first": ODD}, {}, 0, Limit("errors", r"the first answer is http_404: \x1b[31mno such place\x07")),
        ({"end-first": KEY}, {"http_401": 9, "ok": 1}, 0, None),
        ({"end-first": KEY}, {"http_401": 9, "filtered": 1}, 0, None),
        ({"end-first": KEY}, {"http_401": 9}, 1, None),
        ({"end-first": MONEY}, {"quota": 9}, 0, Limit("quota", "the first answer is quota (429): insufficient_quota")),
        (
            {"end": MONEY},
            {"ok": 9, "quota": 1},
            99,
            Limit("quota", "the provider's quota is used up (429): insufficient_quota"),
        ),
        ({"end": BUSY}, {"ok": 9, "rate_limited": 1}, 99, Limit("errors", "rate_limited ends the run (529)")),
        ({"end": KEY, "end-first": MONEY}, {"ok": 9}, 0, Limit("errors", f"http_401 ends the run: {KEY_WORDS}")),
    ],
    ids=[
        *(
            "what is only counted",
            "the first answer",
            "words for a terminal",
            "after a good one",
            "after a filtered one",
            "after a token",
        ),
        *("money first", "money at any time", "as the user said", "the more severe one"),
    ],
)
def test_failures_that_end_the_run_do_so_in_the_provider_s_words(
    fatal: dict[str, ErrorSample], ended: dict[str, int], events: int, limit: Limit | None
) -> None:
    aggregate = Aggregate.over([5])
    part = Part(counters=Counters(events=events), ended=ended)
    aggregate.merge(Delta(0, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {Phase.STEADY: part}, [], fatal=fatal))
    assert limit_reached(options(), aggregate) == limit


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ('{"detail":"Not Found"}', "; did you mean http://h/v1/chat/completions?"),
        ('{"error":{"message":"The model `x` does not exist"}}', ""),
    ],
)
def test_a_misspelled_path_is_suspected_when_it_ends_a_run(words: str, meant: str) -> None:
    aggregate = Aggregate.over([5])
    fatal = {"end-first": ErrorSample("http_404", 404, words, "")}
    part = Part(counters=Counters(), ended={"http_404": 1})
    aggregate.merge(Delta(0, 0, 0, 1, Phase.STEADY, 0, 0, 0, 0, {Phase.STEADY: part}, [], fatal=fatal))
    limit = limit_reached(options(), aggregate, "http://h/v1/chat/completion/chat/completions", "openai-chat")
    assert limit == Limit("errors", f"the first answer is http_404: {words}{meant}")


@pytest.mark.parametrize(
    ("given", "ended_by", "exhausted", "lost", "why"),
    [
        ({}, "", False, 0, "duration"),
        ({"requests": 5}, "", True, 0, "requests"),
        ({"requests": 5}, "", False, 0, "duration"),
        ({"trace": "t"}, "", True, 0, "requests"),
        ({"trace": "t", "duration_s": 5.0}, "", False, 0, "duration"),
        ({"requests": 5}, "quota", True, 0, "quota"),
        ({}, "signal", False, 1, "signal"),
        ({}, "signal", False, 2, "lost"),
    ],
)
def test_why_a_run_has_ended(given: dict[str, Any], ended_by: str, exhausted: bool, lost: int, why: str) -> None:
    aggregate = after()
    for worker in range(lost):
        aggregate.lose(worker, "killed")
    finals = [Final(0, 1, 0, 0, exhausted), Final(1, 1, 0, 0, True)]
    assert why_ended(options(**given), aggregate, ended_by, finals) == why


@pytest.mark.parametrize(
    ("limit", "ended", "ended_by", "why"),
    [
        pytest.param(None, {"http_500": 1}, "", "duration", id="nobody asked"),
        pytest.param(MaxErrors(None, 0.05), {"http_500": 1}, "", "errors", id="the only request of a short run"),
        pytest.param(MaxErrors(None, 0.5), {"http_500": 5, "ok": 5}, "", "errors", id="exactly the share"),
        pytest.param(MaxErrors(None, 0.5), {"http_500": 5, "ok": 6}, "", "duration", id="less than the share"),
        pytest.param(MaxErrors(None, 0.5), {"cancelled": 5}, "", "duration", id="nothing finished"),
        pytest.param(MaxErrors(None, 0.5), {"http_500": 4, "ok": 4, "cancelled": 9}, "", "errors", id="cut-off ones"),
        pytest.param(MaxErrors(3, None), {"http_500": 3, "ok": 500}, "", "errors", id="the last one in the drain"),
        pytest.param(MaxErrors(3, None), {"http_500": 2, "ok": 500}, "", "duration", id="fewer than the number"),
        pytest.param(MaxErrors(3, None), {"http_500": 9}, "signal", "signal", id="the user was first"),
        pytest.param(MaxErrors(3, None), {"http_500": 9}, "quota", "quota", id="another limit was first"),
    ],
)
def test_max_errors_decides_at_the_end_too(
    limit: MaxErrors | None, ended: dict[str, int], ended_by: str, why: str
) -> None:
    finals = [Final(worker, 1, 0, 0, exhausted=False) for worker in range(2)]
    assert why_ended(options(max_errors=limit), after(ended), ended_by, finals) == why


def summary_of(ended: dict[str, int], ended_by: str = "duration", *, lost: bool = False) -> Summary:
    aggregate = after(ended, started=sum(ended.values()))
    if lost:
        aggregate.lose(0, "killed by SIGKILL")
    return summarise(aggregate, facts_of(ended_by=ended_by))


FEW = {"ok": 300, "http_500": 100}
MANY = {"ok": 300, "http_500": 400, "http_401": 100}
ALL = {"http_404": 3}


@pytest.mark.parametrize(
    ("limit", "summary", "signals", "code", "words"),
    [
        pytest.param(None, summary_of({"ok": 9}), [], 0, "", id="all is well"),
        pytest.param(None, summary_of(FEW), [], 0, "", id="a quarter failed"),
        pytest.param(None, summary_of({"ok": 9, "reset": 9}), [], 0, "", id="half of them failed"),
        pytest.param(
            None,
            summary_of(MANY),
            [],
            0,
            "62.5% of 800 requests failed (http_500 50%, http_401 12.5%); "
            "exit code 0 because no --max-errors was given",
            id="most failed",
        ),
        pytest.param(
            MaxErrors(501, None),
            summary_of(MANY),
            [],
            0,
            "62.5% of 800 requests failed (http_500 50%, http_401 12.5%); "
            "exit code 0 because --max-errors 501 was not reached",
            id="most failed, and that was allowed",
        ),
        pytest.param(
            MaxErrors(None, 0.05),
            summary_of(MANY, "errors"),
            [],
            6,
            "62.5% of 800 requests failed (http_500 50%, http_401 12.5%); exit code 6 because of --max-errors 5%",
            id="more failed than the share",
        ),
        pytest.param(MaxErrors(5, None), summary_of(FEW, "quota"), [], 6, "--max-errors 5", id="whatever ended it"),
        pytest.param(
            None,
            summary_of(FEW, "errors"),
            [],
            6,
            "25% of 400 requests failed (http_500 25%); exit code 6 because a failure ended the run",
            id="a failure that ends the run",
        ),
        pytest.param(
            None,
            summary_of(ALL, "errors"),
            [],
            5,
            "no request succeeded: 100% of 3 requests failed (http_404 100%); exit code 5",
            id="the first answer was an error",
        ),
        pytest.param(MaxErrors(2, None), summary_of(ALL, "errors"), [], 6, "--max-errors 2", id="6 comes before 5"),
        pytest.param(MaxErrors(9, None), summary_of(ALL, "errors"), [], 5, "exit code 5", id="a limit not reached"),
        pytest.param(None, summary_of(ALL), [], 5, "no request succeeded", id="nothing succeeded"),
        pytest.param(None, summary_of({"filtered": 3}), [], 5, "3 filtered", id="nothing but filtered answers"),
        pytest.param(
            None,
            summary_of({"cancelled": 3}),
            [],
            5,
            "no request succeeded: no request finished; exit code 5",
            id="nothing finished",
        ),
        pytest.param(MaxErrors(2, None), summary_of(ALL, "signal"), [signal.SIGINT], 130, "", id="a signal before 6"),
        pytest.param(None, summary_of(ALL, "signal"), [signal.SIGHUP], 143, "", id="a closed terminal"),
        pytest.param(None, summary_of(FEW, "abort"), [], 130, "", id="the screen's abort"),
        pytest.param(None, summary_of(FEW, "signal"), [], 0, "", id="the screen's drain"),
        pytest.param(
            MaxErrors(2, None),
            summary_of(ALL, "errors", lost=True),
            [signal.SIGINT],
            4,
            "a worker was lost, so the results are incomplete; ",
            id="4 comes first",
        ),
    ],
)
def test_the_exit_code_and_the_last_words(
    limit: MaxErrors | None, summary: Summary, signals: list[int], code: int, words: str
) -> None:
    given = options(max_errors=limit)
    assert exit_code(given, summary, signals) == code
    said = exit_code_reason(given, summary, next(each for each in ExitCode if each == code))
    assert words in said
    assert bool(words) == bool(said)
    assert not said or f"exit code {code}" in said
