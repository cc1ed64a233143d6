"""What the verdict says of odd answers, and when figures lack the slowest."""

import pytest
from helpers.bench import BEGIN, DONE, END, FINISH, HEAD, MS, ROLE, TOKEN, Bench, answer, delta, event, usage
from helpers.summaries import facts_of

from llmstress.coordinator.output.schema import Summary
from llmstress.coordinator.output.summary import summarise
from llmstress.engine.api.ask import Ask
from llmstress.engine.stream.samples import PLAIN_ANSWERS
from llmstress.engine.telemetry import snapshot
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase
from llmstress.engine.telemetry.verdict import judge


def aggregate_of(bench: Bench) -> Aggregate:
    total = Aggregate.over([1])
    total.merge(bench.cut())
    return total


def summary_of(bench: Bench) -> Summary:
    return summarise(aggregate_of(bench), facts_of())


def ended(**ends: int) -> Aggregate:
    """A run whose requests ended so."""
    total = Aggregate.over([1])
    part = Part(counters=Counters(started=sum(ends.values())), ended=ends)
    total.merge(Delta(0, 0, 0, 1000 * MS, Phase.STEADY, 0, 0, 0, 1, {int(Phase.STEADY): part}, []))
    return total


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ({"ok": 100}, "valid"),
        ({"ok": 199, "timeout_idle": 1}, "valid"),
        ({"ok": 99, "timeout_idle": 1}, "degraded"),
        ({"ok": 98, "timeout_first_token": 1, "timeout_total": 1}, "degraded"),
        ({"ok": 99, "connect_timeout": 1}, "degraded"),
        ({"ok": 50, "http_503": 50}, "valid"),
    ],
)
def test_requests_that_ran_into_a_time_limit_are_missing_from_the_percentiles(
    ends: dict[str, int], status: str
) -> None:
    verdict = judge(ended(**ends), 1)
    assert verdict.status == status
    slowest = sum(n for outcome, n in ends.items() if "timeout" in outcome)
    said = f"the slowest {slowest} are missing"
    assert [said in reason for reason in verdict.reasons] == ([True] if status == "degraded" else [])


def test_attempts_that_ran_into_a_time_limit_are_missing_too() -> None:
    run = ended(ok=100)
    run.steady.retried = {"timeout_first_token": 3, "http_503": 20}
    run.forget_sums()
    assert any("3 of 100 requests ran into a time limit" in reason for reason in judge(run, 1).reasons)


def stream(bench: Bench, begin: float, *reads: bytes) -> None:
    """An answer whose token events come 20 ms apart, if each is a read."""
    bench.begin(begin, sent=begin + 1)
    bench.read(begin + 90, HEAD)
    for number, data in enumerate(reads):
        bench.read(begin + 200 + 20 * number, data)


def test_undetermined_paces_are_told_with_their_bounds() -> None:
    bench = Bench()
    for n in range(3):
        stream(bench, 1000 * n, *[TOKEN] * 10, FINISH, usage(28), DONE, END)
    summary = summary_of(bench)
    assert summary.latency_ms["tpot"].count == 0
    assert summary.tps_user.p50 is None
    found = summary.tpot_undetermined
    assert (found.count, found.why) == (3, {"hidden tokens": 3})
    assert found.by_usage_p50 == pytest.approx(180 / 27, rel=0.01)
    assert found.by_events_p50 == pytest.approx(20, rel=0.01)
    assert summary.verdict.status == "valid"
    assert any(
        "the tpot of 3 of 3 answers can't be determined (3 had more tokens by usage than the text has room for): 6.6"
        in note
        for note in summary.verdict.notes
    )


def test_a_tpot_that_lacks_answers_is_degraded() -> None:
    bench = Bench()
    stream(bench, 0, *[TOKEN] * 10, FINISH, usage(28), DONE, END)
    stream(bench, 1000, *[TOKEN] * 10, FINISH, usage(10), DONE, END)
    verdict = judge(aggregate_of(bench), 1)
    assert verdict.status == "degraded"
    assert verdict.reasons[0].endswith("they are missing from tpot and tps_user, and ttft and e2e include them")
    assert not any("can't be determined" in note for note in verdict.notes), "said once"


def test_usage_that_contradicts_events_is_noted_with_its_counts() -> None:
    bench = Bench()
    stream(bench, 0, *[TOKEN] * 10, FINISH, usage(4), DONE, END)
    summary = summary_of(bench)
    said = "usage contradicts the events of the answer: it counts 4 output tokens, and 10 token events came"
    assert any(said in note for note in summary.verdict.notes)
    assert summary.latency_ms["tpot"].count == 0
    bench = Bench()
    # more reasoning than the completion, which contains it, as the total says
    counts = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8, "reasoning_tokens": 8}
    stream(bench, 0, *[TOKEN] * 10, FINISH, event({"choices": [], "usage": counts}), DONE, END)
    assert any("usage contradicts" in note for note in judge(aggregate_of(bench), 1).notes)


def test_usage_of_the_first_event_alone_is_stale() -> None:
    bench = Bench()
    first = event({"choices": [{"delta": {"content": " w"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})
    stream(bench, 0, first, *[TOKEN] * 9, FINISH, DONE, END)
    summary = summary_of(bench)
    assert (summary.tokens.output, summary.tokens.source, summary.tokens.input) == (12, "events", 9)
    said = "usage contradicts the events of the answer: it counts 3 output tokens, and 10 token events came"
    assert any(said in note for note in summary.verdict.notes)
    assert not any("came without usage" in note for note in summary.verdict.notes)
    assert summary.tpot_undetermined.why == {"usage that stops": 1}


def test_usage_of_each_event_adds_up() -> None:
    bench = Bench()
    each = event({"choices": [{"delta": {"content": " w w w"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})
    stream(bench, 0, *[each] * 10, FINISH, DONE, END)
    summary = summary_of(bench)
    assert (summary.tokens.output, summary.tokens.source) == (30, "usage")
    assert summary.latency_ms["tpot"].max == pytest.approx(180 / 27, rel=0.001)


def test_usage_of_each_choice_adds_up() -> None:
    bench = Bench()
    both = [delta(index=index, content=" a") for index in (0, 1)]
    stream(bench, 0, *both * 3, FINISH, usage(3), delta(finish="stop", index=1), usage(3), DONE, END)
    summary = summary_of(bench)
    assert (summary.tokens.output, summary.tokens.events, summary.tokens.source) == (6, 6, "usage")


def test_zero_usage_is_no_usage() -> None:
    bench = Bench(streamed=False)
    body = (
        b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],'
        b' "usage": {"prompt_tokens": 0, "completion_tokens": 0}}'
    )
    for n in range(2):
        bench.begin(100 * n, sent=100 * n + 1)
        bench.read(100 * n + 50, answer("200 OK", body, "Content-Type: application/json"))
    summary = summary_of(bench)
    assert (summary.tokens.output, summary.tokens.source) == (0, None)
    assert "tokens unknown for 2 of 2 answers: the server sent no usage" in summary.verdict.notes


def test_answers_shorter_than_asked_are_noted() -> None:
    bench = Bench(ask=Ask(max_tokens=64, ignore_eos=True))
    for n in range(3):
        stream(bench, 1000 * n, *[TOKEN] * 5, FINISH, usage(5), DONE, END)
    stream(bench, 3000, *[TOKEN] * 64, FINISH, usage(64), DONE, END)
    notes = judge(aggregate_of(bench), 1).notes
    assert any(
        "3 of 4 answers (75%) had fewer tokens than --min-tokens or --ignore-eos asked for (median 5" in n
        for n in notes
    )


def test_prefills_are_noted() -> None:
    bench = Bench(ask=Ask(max_tokens=1))
    stream(bench, 0, ROLE, delta(finish="length"), usage(1), DONE, END)
    summary = summary_of(bench)
    assert (summary.requests.ok, summary.tokens.output) == (1, 1)
    assert summary.latency_ms["ttft"].max == 220
    assert any("the answer had tokens but no text" in note for note in summary.verdict.notes)


def test_answers_without_a_finish_reason_are_noted() -> None:
    bench = Bench()
    stream(bench, 0, TOKEN, DONE, END)
    stream(bench, 1000, TOKEN, FINISH, DONE, END)
    notes = judge(aggregate_of(bench), 1).notes
    assert any(
        "1 of 2 answers (50%) ended with the protocol's end event but without a finish reason" in note for note in notes
    )


def test_bodies_that_stay_open_are_noted() -> None:
    bench = Bench()
    stream(bench, 0, TOKEN, FINISH, DONE)
    bench.at(740).stream.check(bench.now)
    notes = judge(aggregate_of(bench), 1).notes
    assert any("the body stayed open after the end of the answer: streams waited 0.5 s" in note for note in notes)


def test_the_rate_of_tokens_counts_what_was_cut_off() -> None:
    bench = Bench(edges=(0, 0, None))
    stream(bench, 0, *[TOKEN] * 20)
    bench.stream.cut(BEGIN + 1000 * MS)
    run = aggregate_of(bench)
    assert snapshot.steady(run, 1.0).tokens_per_s == 20
    tokens = summarise(run, facts_of()).tokens
    assert (tokens.output, tokens.output_cancelled, tokens.source) == (0, 20, "events")


def test_the_outcome_is_beside_the_verdict() -> None:
    outcome = summarise(ended(ok=3, http_404=1, cancelled=2), facts_of()).outcome
    assert outcome.text == "25% of 4 requests failed (http_404 25%)"
    assert (outcome.finished, outcome.failed_share, outcome.shares) == (4, 0.25, {"http_404": 0.25})
    assert summarise(ended(cancelled=2), facts_of()).outcome.failed_share is None


def test_the_text_of_events_is_kept_only_while_it_may_be_wanted() -> None:
    bench = Bench()
    several = [delta(content=" one two three")] * 10
    for n in range(PLAIN_ANSWERS):
        assert bench.task.samples.keeps_texts
        stream(bench, 1000 * n, *[TOKEN] * 10, FINISH, usage(10), DONE, END)
    assert not bench.task.samples.keeps_texts
    stream(bench, 100_000, *several, FINISH, usage(30), DONE, END)
    assert bench.task.samples.keeps_texts
    stream(bench, 101_000, *several, FINISH, usage(30), DONE, END)
    part = bench.steady()
    assert part.undetermined == {"hidden tokens": 1}, "the first of them, whose text was not kept"
    assert part.latency["tpot"].count == PLAIN_ANSWERS + 1


def test_hidden_reasoning_that_usage_counts_wants_no_text() -> None:
    bench = Bench()
    for n in range(PLAIN_ANSWERS):
        stream(bench, 1000 * n, *[TOKEN] * 10, FINISH, usage(60, reasoning=50), DONE, END)
    assert not bench.task.samples.keeps_texts
    assert bench.steady().latency["tpot"].count == PLAIN_ANSWERS
