"""The words per token of made prompts: when they are corrected, to what, and from which request on."""

import asyncio
from typing import Any

import pytest
from helpers.made_options import options, plans_of

from llmstress.coordinator.config.load_text import Turns
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT
from llmstress.coordinator.output.load_text import words_lines
from llmstress.coordinator.prompts.prepared import Prepared
from llmstress.coordinator.prompts.tokenizer import Vocabulary
from llmstress.coordinator.run.words_per_token import Corrections, Counted, better_ratio, is_corrected, next_start
from llmstress.engine.control import SetWordsPerToken, ToWorker
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.words import WORDS
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase, key_of

S = 1_000_000_000
MADE = {"prompt": DEFAULT_PROMPT, "prompt_tokens": Lengths("fixed", 200), "total": 6, "procs": 3}


def counted(answers: int, length: int, ratio: float, *, per_word: float = 1.3, template: float = 0.0) -> Counted:
    """What a server counts in prompts of this length that have `ratio` words per token."""
    words = answers * round(length * ratio)
    return Counted(answers, answers * length, words, round(words * per_word + answers * template))


@pytest.mark.parametrize(
    ("now", "ratio"),
    [
        (counted(50, 200, 1.0), 0.77),
        (counted(50, 200, 1.0, per_word=0.8), 1.25),
        (counted(50, 2000, 1.0, per_word=3.7), 0.27),
        (counted(49, 200, 1.0), None),  # too few answers
        (counted(50, 99, 1.0), None),  # too few tokens
        (counted(50, 200, 1.0, per_word=1.019), None),  # close enough
        (counted(50, 200, 1.0, per_word=0), None),  # nothing was counted
        (Counted(), None),
    ],
)
def test_the_ratio_is_that_of_words_and_tokens(now: Counted, ratio: float | None) -> None:
    assert better_ratio(now, 1.0) == ratio


@pytest.mark.parametrize(("per_word", "template", "length"), [(1.3, 10, 60), (1.0, 20, 100), (0.7, 15, 400)])
def test_two_corrections_tell_words_and_template_apart(per_word: float, template: float, length: int) -> None:
    in_force, before, found = 1.0, None, [1.0]
    for _ in range(3):
        now = counted(500, length, in_force, per_word=per_word, template=template)
        ratio = better_ratio(now, in_force, before)
        if ratio is None:
            break
        in_force, before = ratio, now
        found.append(ratio)
    assert abs(counted(500, length, in_force, per_word=per_word, template=template).difference) <= 0.02
    assert 2 <= len(found) <= 3, "one or two corrections"


def test_answers_from_before_a_correction_do_not_spoil_the_next_one() -> None:
    before = counted(500, 60, 1.0, template=10)
    old, new = counted(200, 60, 1.0, template=10), counted(300, 60, 0.68, template=10)
    ratio = better_ratio(old + new, 0.68, before)
    assert ratio == better_ratio(new, 0.68, before)
    assert ratio == pytest.approx((60 - 10) / 1.3 / 60, rel=0.01)


def test_what_did_not_help_is_not_tried_again() -> None:
    short = counted(9_000, 1, 1.0, template=4)  # one word is the least
    assert better_ratio(short, 1.0) is not None
    assert better_ratio(short, 0.189, short) is None


def test_a_correction_begins_at_a_power_of_two_that_nobody_has_reached() -> None:
    assert next_start(0, 0, 0.1, 0.25) == 64
    assert next_start(120, 30, 1e9, 0.25) == 256  # 120 + 30 > 128
    assert next_start(1000, 0, 2.0, 0.25) == 2048  # 1,000 in 2 s, so 500 more in half a second and two reports
    assert next_start(1000, 100, 2.0, 0.25) == next_start(1040, 60, 2.0, 0.25), "chance makes no difference"


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ({}, True),
        ({"words_per_token": 0.8}, False),
        ({"words_per_token": 1.0}, False),
        ({"token_ids": True, "api": "openai-completions"}, False),
        ({"turns": Turns(3, 3)}, False),
        ({"prompt_tokens": None, "output_tokens": Lengths("fixed", 9)}, False),
        ({"prompt_tokens": None}, False),
    ],
)
def test_only_made_texts_that_stand_alone_are_corrected(given: dict[str, Any], corrected: bool) -> None:
    assert {is_corrected(plan) for plan in plans_of(options(**{**MADE, **given}))[0].tasks} == {corrected}


def test_words_of_a_tokenizer_are_not_corrected() -> None:
    prepared = Prepared(vocabularies={"file": Vocabulary()})
    [plan] = plans_of(options(**MADE, tokenizer="file"), prepared)[0].tasks
    assert plan.synthetic is not None
    assert (plan.synthetic.words, is_corrected(plan)) == (WORDS, False)


class Told:
    """A run of three workers, and what was ordered and said in it."""

    def __init__(self, **given: Any) -> None:
        self.orders: list[ToWorker] = []
        self.said: list[str] = []
        self.aggregate = Aggregate.over([2, 2, 2])
        self.corrections = Corrections(self.aggregate, self._order, lambda _, text: self.said.append(text))
        self.corrections.begin(plans_of(options(**MADE | given))[0].tasks)
        self._seq = [0, 0, 0]

    async def _order(self, order: ToWorker) -> None:
        self.orders.append(order)

    def report(self, worker: int, counts: Counted, phase: Phase = Phase.WARMUP, **more: Any) -> None:
        counters = Counters(
            started=counts.answers + 2,
            input_seen=counts.answers,
            asked_input=counts.asked,
            made_words=counts.words,
            delivered_input=counts.delivered,
        )
        seq, self._seq[worker] = self._seq[worker], self._seq[worker] + 1
        parts = {key_of(phase): Part(counters, {"ok": counts.answers})}
        delta = Delta(worker, seq, seq * S // 4, (seq + 1) * S // 4, phase, 2, 2, 0, 0, parts, [], **more)
        self.aggregate.merge(delta)
        asyncio.run(self.corrections.follow(delta))


def test_a_run_is_corrected_once_and_says_so() -> None:
    told = Told()
    told.report(0, counted(30, 200, 1.0))
    assert not told.orders, "too few answers"
    told.report(1, counted(30, 200, 1.0))
    # worker 0 and 1 have taken 32 requests of 3 workers, 6 are in flight, and 4 times as many come within a second
    assert told.orders == [SetWordsPerToken(0, 512, 0.77)]
    assert told.said == [
        "the server counts 15,600 tokens in made prompts, and 12,000 were asked for (+30.0%): 0.77 words per token "
        "instead of 1, from request 512 on"
    ]
    for _ in range(4):
        told.report(2, counted(200, 200, 1.0))  # from before the correction
    told.report(2, counted(200, 200, 0.77))
    assert len(told.orders) == 1
    [first, then] = told.corrections.rows()
    assert (first.ratio, first.from_request, then.ratio, then.from_request) == (1.0, 0, 0.77, 512)
    assert (then.reached, then.late_from_request) == (True, None)
    assert words_lines([first, then]) == [
        "words     1 per token assumed; 0.77 from request 512 on; for equal prompts in each run: --words-per-token 0.77"
    ]


def test_a_worker_that_was_late_is_named() -> None:
    told = Told()
    told.report(0, counted(60, 200, 1.0))
    for _ in range(2):
        told.report(1, counted(60, 200, 1.0), corrected_late={0: 1501})
    [_, said] = told.said
    assert said.startswith("worker 1 had passed the request from which prompts are corrected")
    assert said.endswith("from request 1,501 on")
    assert told.corrections.rows()[-1].late_from_request == 1501
    assert "1,024 on, in one process from 1,501 on" in words_lines(told.corrections.rows())[0]


@pytest.mark.parametrize("given", [{"words_per_token": 0.9}, {"token_ids": True, "api": "openai-completions"}])
def test_nothing_is_corrected_that_was_given(given: dict[str, Any]) -> None:
    told = Told(**given)
    told.report(0, counted(500, 200, 1.0))
    assert (told.orders, told.said, words_lines(told.corrections.rows())) == ([], [], [])


def test_nothing_is_ordered_in_the_drain_or_without_usage() -> None:
    for counts, phase in ((counted(500, 200, 1.0), Phase.DRAIN), (Counted(answers=500), Phase.STEADY)):
        told = Told()
        told.report(0, counts, phase)
        assert not told.orders
