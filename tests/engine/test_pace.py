"""The time per token: known, assumed or undetermined, and never wrong in silence."""

import random
from typing import Any

import pytest
from helpers.bench import DONE, END, HEAD, Bench, chunk, delta, event, usage
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.stream import pace
from llmstress.engine.stream.pace import Answer, Pace, Texts, pace_of, texts_of
from llmstress.engine.stream.usage_reports import Reports
from llmstress.engine.telemetry.messages import Part
from llmstress.engine.telemetry.undetermined import WORDS, undetermined_values

MS = 1_000_000


def answer(
    *,
    span: float = 180,
    events: int = 10,
    tokens: int | None = 10,
    first_events: int = 1,
    pieces: int | None = None,
    choices: int = 1,
    after_first: int | None = None,
    ended_itself: bool = False,
    before: float = 200,
    texts: Texts | None = None,
) -> Answer:
    """Ten events, 20 ms apart, unless said otherwise; times in ms."""
    return Answer(
        span=int(span * MS),
        events=events,
        first_events=first_events,
        pieces=events if pieces is None else pieces,
        choices=choices,
        tokens=tokens,
        after_first=after_first,
        ended_itself=ended_itself,
        before=int(before * MS),
        texts=texts or Texts(),
    )


ENGLISH = Texts(first=20, rest=180, words=35)
"""Of ten events with a few words each."""


@pytest.mark.parametrize(
    ("given", "ms", "why"),
    [
        pytest.param(answer(), 20, "", id="an event is a token"),
        pytest.param(answer(tokens=None), 20, "", id="no usage"),
        pytest.param(answer(tokens=900, after_first=90), 2, "", id="known"),
        pytest.param(answer(tokens=11, ended_itself=True), 20, "", id="the token that ends an answer has no event"),
        pytest.param(answer(tokens=11), None, "hidden tokens", id="a limit ended it: there is no such token"),
        pytest.param(answer(events=31, span=600, tokens=32), 600 / 31, "", id="bounds that hardly differ"),
        pytest.param(answer(tokens=40), None, "hidden tokens", id="nothing is known of the text"),
        pytest.param(answer(tokens=40, texts=ENGLISH), 5, "", id="there is text for all of them"),
        pytest.param(answer(tokens=40, before=18), 5, "", id="there was no time to hide any"),
        pytest.param(
            answer(tokens=60, before=100, texts=ENGLISH), None, "hidden tokens", id="more tokens than the text has"
        ),
        pytest.param(
            answer(tokens=30, texts=Texts(first=6, rest=54, words=30)), 180 / 27, "", id="short words, each a token"
        ),
        pytest.param(
            answer(tokens=20, texts=Texts(first=7, rest=63, words=10)), None, "hidden tokens", id="a word an event"
        ),
        pytest.param(
            answer(tokens=100, texts=Texts(first=400, rest=40, words=90)), None, "bundled first event", id="bundled"
        ),
        pytest.param(
            answer(tokens=40, texts=Texts(first=60, rest=140, words=35)), 180 / 28, "", id="first event: by its size"
        ),
        pytest.param(answer(events=6, tokens=41, span=25, texts=ENGLISH), None, "few pieces", id="few pieces"),
        pytest.param(
            answer(tokens=200, span=50, before=4000, texts=Texts(first=90, rest=800, words=200)),
            None,
            "few pieces",
            id="faster than engines are, and there was time to make all before",
        ),
        pytest.param(answer(tokens=8), None, "fewer tokens than events", id="fewer"),
        pytest.param(answer(tokens=1), None, "fewer tokens than events", id="a single token, and many events"),
        pytest.param(answer(span=0), None, "few pieces", id="one read"),
        pytest.param(answer(first_events=10), None, "few pieces", id="one read, and an odd clock"),
        pytest.param(answer(first_events=4, span=120), 20, "", id="the first read brought four"),
        pytest.param(answer(choices=2, first_events=2, tokens=12, ended_itself=True), 22.5, "", id="two endings"),
    ],
)
def test_the_pace_of_an_answer(given: Answer, ms: float | None, why: str) -> None:
    pace = pace_of(given)
    assert pace is not None
    assert pace.why == why
    assert pace.ns == pytest.approx(0 if ms is None else ms * MS, abs=2)


def test_no_token_event_after_the_first_is_no_pace() -> None:
    assert pace_of(answer(events=1, tokens=50)) is None
    assert pace_of(answer(events=3, choices=3, tokens=50)) is None


def test_the_bounds_of_what_is_undetermined() -> None:
    assert pace_of(answer(tokens=91, before=100)) == Pace(0, "hidden tokens", 2 * MS, 20 * MS)
    assert pace_of(answer(tokens=5)) == Pace(0, "fewer tokens than events", 45 * MS, 20 * MS)


def data_of(text: str, **more: str) -> bytes:
    return event({"id": "c", "choices": [{"delta": {**more, "content": text}}]}).split(b"\r\n")[1][6:-2]


def test_what_the_texts_of_an_answer_tell() -> None:
    first, rest = data_of("Hello", role="assistant"), [data_of(" big wide"), data_of(", world"), data_of(" of ours")]
    size = len(first) + sum(map(len, rest))
    assert texts_of(first, rest[-1], size, 4) == Texts(first=5, rest=24, words=1 + 24 * 2 // 8)
    assert texts_of(first, first, 2 * len(first), 2) == Texts(first=5, rest=5, words=2)
    assert texts_of(b" bare text", b" here", 20, 3) == Texts(first=10, rest=10, words=4)
    assert texts_of(first, data_of("x", obfuscation="yyyy"), 999, 9) == Texts()


def test_usage_in_some_events_only_hides_how_long_their_texts_are() -> None:
    bench = Bench()
    bench.begin()
    bench.read(10, HEAD)
    bench.read(610, delta(content=" word" * 30))
    for number in range(1, 36):
        choice = {"index": 0, "delta": {"content": " word"}, "finish_reason": None}
        counts = {"usage": {"prompt_tokens": 3, "completion_tokens": 30 + number}} if number % 2 else {}
        bench.read(610 + 20 * number, event({"choices": [choice], **counts}))
    bench.read(1312, delta(finish="stop"), DONE, END)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert part.counters.output == 65
    assert "tpot" not in part.latency
    assert part.undetermined


def test_texts_that_leave_nothing_for_the_others_tell_nothing() -> None:
    long = data_of(" word", usage="of the last event only: longer than the text of all others")
    short = data_of(" word")
    assert texts_of(short, long, len(long) + 9 * len(short), 10) == Texts()


class TestReports:
    def take(self, *counts: tuple[int, int, bool]) -> Reports:
        """Reports: so many tokens, after so many token events, with the last of them."""
        reports = Reports()
        for output, events, with_token in counts:
            reports.take(output, events, with_token=with_token, at_first=events == 1 and with_token)
        return reports

    def test_one_at_the_end(self) -> None:
        reports = self.take((9, 5, False))
        assert reports.total(5, 1, 1) == (9, True)
        assert reports.after_first(5, 1, 1) is None

    def test_cumulative_counts(self) -> None:
        reports = self.take((3, 1, True), (4, 2, True), (9, 3, True), (10, 3, False))
        assert reports.total(3, 1, 1) == (10, True)
        assert reports.after_first(3, 1, 1) == 6, "the last token event had 9: the tenth ended the answer"

    def test_hidden_tokens_that_were_reported(self) -> None:
        reports = self.take((5, 0, False), (39, 0, False), (41, 2, False))
        assert reports.before_first == 39

    def test_counts_of_single_events_add_up(self) -> None:
        constant = self.take(*((3, number, True) for number in range(1, 11)))
        assert constant.total(10, 1, 1) == (30, True)
        assert constant.after_first(10, 1, 1) == 27
        varied = self.take((3, 1, True), (2, 2, True), (4, 3, True))
        assert varied.total(3, 1, 1) == (9, True)
        with_their_sum = self.take((3, 1, True), (2, 2, True), (4, 3, True), (9, 3, False))
        assert with_their_sum.total(3, 1, 1) == (9, True)

        bundled = self.take((30, 1, True), *((1, number, True) for number in range(2, 11)))
        assert bundled.total(10, 1, 1) == (39, True)

    def test_cumulative_counts_may_fall(self) -> None:
        once = self.take(*((2 if n == 9 else n, n, True) for n in range(1, 21)))
        assert once.total(20, 1, 1) == (20, True)
        begun_again = self.take(*((n if n <= 10 else n - 10, n, True) for n in range(1, 21)))
        assert begun_again.total(20, 1, 1) == (10, True), "fewer than token events, which is noted"
        assert begun_again.after_first(20, 1, 1) is None
        of_what_is_left = self.take(*((21 - n, n, True) for n in range(1, 21)))
        assert of_what_is_left.total(20, 1, 1) == (1, True)
        assert of_what_is_left.after_first(20, 1, 1) is None

    def test_tokens_split_over_events_are_no_counts_of_single_events(self) -> None:
        reports = self.take((1, 1, True), (1, 2, True), (1, 3, True), (2, 4, True), (2, 5, True), (2, 6, True))
        assert reports.total(6, 1, 1) == (2, True)

    def test_a_report_that_tokens_followed_is_not_the_end(self) -> None:
        reports = self.take((3, 1, True))
        assert reports.total(10, 1, 1) == (12, False)

    def test_a_report_for_each_choice_adds_up(self) -> None:
        assert self.take((3, 3, False), (5, 8, False)).total(8, 2, 2) == (8, True)
        assert self.take((3, 6, False), (3, 6, False)).total(6, 2, 2) == (6, True)

    def test_cumulative_reports_of_several_choices_do_not(self) -> None:
        assert self.take((4, 4, False), (8, 8, False)).total(8, 2, 2) == (8, True)
        assert self.take(*((n, n, True) for n in range(1, 7))).total(6, 2, 2) == (6, True)


# --- against a model that knows when each token was made


def made(data: st.DataObject, hidden: int, k: list[int], *, counts: str) -> tuple[Bench, float]:
    """An answer on the bench, its tokens made at one pace: `hidden` ones that nobody sees, then events of `k` each.

    counts: whether usage comes "with events", "at the end" or "never". Gives the true tpot in ms.
    """
    rng = random.Random(data.draw(st.integers(0, 1 << 32)))
    pace, ms = data.draw(st.floats(5, 50)), data.draw(st.sampled_from([5.0, 60.0, 400.0, 3000.0]))
    bench = Bench()
    bench.begin()
    bench.read(2, HEAD)
    n, ended_itself = hidden, data.draw(st.booleans())
    ms += hidden * pace
    for tokens in k:
        ms, n = ms + pace * tokens, n + tokens
        text = "".join(" " + "w" * rng.choice([2, 3, 3, 4, 4, 6]) for _ in range(tokens))
        said: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        if counts == "with events":
            said |= {"usage": {"prompt_tokens": 3, "completion_tokens": n}}
        if data.draw(st.integers(0, 9)) == 0:
            bench.read(ms - pace / 2, chunk(b": ping\n\n"))
        bench.read(ms, event(said))
    last = [delta(finish="stop" if ended_itself else "length")]
    if counts != "never":
        last.append(usage(n + ended_itself))
    bench.read(ms + 1, *last, DONE, END)
    return bench, pace


def test_the_verdict_has_words_for_every_reason() -> None:
    assert {pace.FEW_PIECES, pace.BUNDLED, pace.HIDDEN, pace.FEWER, pace.STALE} == set(WORDS)
    part = Part(ended={"ok": 9}, undetermined={pace.FEWER: 1, pace.FEW_PIECES: 2})
    assert undetermined_values(part)["why"] == (
        "2 came at once or in a few large pieces, as very short answers often do, 1 had fewer tokens by usage than "
        "token events"
    )
    alone = undetermined_values(Part(ended={"ok": 1}, undetermined={pace.STALE: 1}))
    assert alone["why"] == "it had token events after the last usage"


EVENTS = st.one_of(
    st.integers(2, 60).map(lambda n: [1] * n),
    st.tuples(st.integers(2, 8), st.integers(8, 40)).map(lambda kn: [kn[0]] * kn[1]),
    st.tuples(st.integers(20, 60), st.integers(2, 30)).map(lambda kn: [kn[0], *[1] * kn[1]]),
    st.tuples(st.integers(20, 60), st.integers(2, 6)).map(lambda kn: [kn[0]] * kn[1]),
)


@examples(300)
@given(st.data(), st.sampled_from([0, 0, 3, 20, 60, 300]), EVENTS, st.sampled_from(["with events", "at the end"]))
def test_tpot_is_right_or_bounded_or_undetermined(data: st.DataObject, hidden: int, k: list[int], counts: str) -> None:
    bench, pace = made(data, hidden, k, counts=counts)
    part = bench.steady()
    assert part.ended == {"ok": 1}
    if "tpot" in part.latency:
        found = part.latency["tpot"].sum / 1000
        # what is assumed may be short by a quarter of hidden tokens, and by the chance of word lengths
        least = 0.98 if counts == "with events" or not hidden else 0.68
        slack = 1.02 if counts == "with events" or set(k) == {1} else 1.25
        assert least * pace / slack <= found <= 1.02 * slack * pace
        return
    assert sum(part.undetermined.values()) == 1
    assert counts != "with events"
    low, high = sorted(part.aside[name].sum / 1000 for name in ("tpot_by_usage", "tpot_by_events"))
    assert 0.98 * low <= pace <= 1.02 * high
