"""Prompts of given lengths: distributions, and requests that differ."""

import itertools
import math
import random
import statistics
from collections import Counter

import msgspec
import pytest
from helpers.bench import Bench
from hypothesis import given
from hypothesis import strategies as st

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.load.request_maker import RequestMaker
from llmstress.engine.load.sources import of_drawn
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Maker, Synthetic
from llmstress.engine.prompts.words import SALT_WORDS, WORDS
from llmstress.engine.trace import UNKNOWN

LENGTHS = {
    "fixed": (Lengths("fixed", 512), 512, 0),
    "uniform": (Lengths("uniform", 100, 2000), 1050, 1900 / math.sqrt(12)),
    "normal": (Lengths("normal", 512, 64), 512, 64),
    "lognormal": (Lengths("lognormal", 512, 300), 512, 300),
}


@pytest.mark.parametrize("shape", LENGTHS)
def test_lengths_have_the_mean_and_the_spread_that_was_asked_for(shape: str) -> None:
    lengths, mean, deviation = LENGTHS[shape]
    drawn = [lengths.draw(random.Random(f"lengths/{number}")) for number in range(20_000)]
    assert lengths.mean == mean
    # five standard errors of the mean; those of the deviation of a lognormal distribution are larger
    assert statistics.fmean(drawn) == pytest.approx(mean, abs=5 * deviation / math.sqrt(len(drawn)))
    assert statistics.pstdev(drawn) == pytest.approx(deviation, rel=0.06)


def test_lengths_are_at_least_one_token() -> None:
    assert {Lengths("normal", 1, 50).draw(random.Random(seed)) for seed in range(100)} >= {1}
    assert min(Lengths("normal", 1, 50).draw(random.Random(seed)) for seed in range(100)) == 1
    assert [Lengths("uniform", 3, 9).least, Lengths("lognormal", 300, 9).least] == [3, 1]


def maker(seed: int = 1, salt: int = 2, **given: object) -> Maker:
    return Maker(Synthetic(**{"prompt": Lengths("fixed", 60), "seed": seed, "salt": salt, **given}))  # type: ignore[arg-type]


def prompts(made: Maker, numbers: range) -> list[list[str]]:
    return [(made.make(number).prompt or "").split() for number in numbers]


def test_the_words_are_all_different() -> None:
    assert len(set(WORDS)) == len(WORDS) == 128


@given(st.integers(1, 3000), st.integers(0, 2**63), st.integers(0, 2**64))
def test_a_prompt_has_as_many_words_as_tokens(tokens: int, seed: int, salt: int) -> None:
    [words] = prompts(maker(seed, salt, prompt=Lengths("fixed", tokens)), range(1))
    assert len(words) == tokens
    assert set(words) <= set(WORDS)


def test_very_long_prompts_are_made_too() -> None:
    [words] = prompts(maker(prompt=Lengths("fixed", 300_000)), range(1))
    assert len(words) == 300_000


def test_no_two_prompts_begin_alike() -> None:
    begins = Counter(tuple(words[:SALT_WORDS]) for words in prompts(maker(), range(20_000)))
    assert max(begins.values()) == 1
    neighbours = itertools.pairwise(words[0] for words in prompts(maker(), range(2_000)))
    assert sum(one == other for one, other in neighbours) < 100


def test_another_run_begins_differently_and_has_the_same_lengths_and_words() -> None:
    one, other = (
        maker(salt=salt, prompt=Lengths("lognormal", 100, 50), output=Lengths("uniform", 5, 500)) for salt in (10, 11)
    )
    for number in range(500):
        first, second = one.make(number), other.make(number)
        words, again = (first.prompt or "").split(), (second.prompt or "").split()
        assert words[:SALT_WORDS] != again[:SALT_WORDS]
        assert (words[SALT_WORDS:], first.output) == (again[SALT_WORDS:], second.output)


def test_a_prompt_depends_on_its_number_alone() -> None:
    one, other = maker(), maker()
    assert [one.make(number) for number in range(50)] == [other.make(number) for number in reversed(range(50))][::-1]


def test_another_seed_gives_other_prompts() -> None:
    assert prompts(maker(1), range(20)) != prompts(maker(2), range(20))


@pytest.mark.parametrize("groups", [1, 4])
def test_prefixes_are_shared_by_the_prompts_of_a_group(groups: int) -> None:
    made = maker(prompt=Lengths("fixed", 200), shared=150, groups=groups)
    found = prompts(made, range(400))
    assert {len(words) for words in found} == {200}
    prefixes = Counter(tuple(words[:150]) for words in found)
    assert len(prefixes) == groups
    assert min(prefixes.values()) > 400 / groups / 2
    assert len({tuple(words[150 : 150 + SALT_WORDS]) for words in found}) == 400, "what follows is not shared"
    again = prompts(maker(salt=3, prompt=Lengths("fixed", 200), shared=150, groups=groups), range(400))
    assert not {tuple(words[:150]) for words in again} & prefixes.keys(), "another run has other prefixes"


def test_a_prompt_that_is_shorter_than_its_prefix_has_one_word_of_its_own() -> None:
    [words] = prompts(maker(prompt=Lengths("fixed", 10), shared=20), range(1))
    assert len(words) == 21


def test_the_words_per_token_change_the_words_and_nothing_else() -> None:
    lengths, limits = Lengths("lognormal", 100, 50), Lengths("uniform", 5, 500)
    one, other = (
        maker(words_per_token=ratio, prompt=lengths, output=limits, shared=40, groups=3) for ratio in (1.0, 0.7)
    )
    for number in range(300):
        first, second = one.make(number), other.make(number)
        assert (first.input, first.output) == (second.input, second.output)
        assert first.words == first.input == len((first.prompt or "").split())
        words = (second.prompt or "").split()
        assert second.words == len(words) == max(28 + 1, round(0.7 * second.input))
        assert words[:28] == (first.prompt or "").split()[:28], "the begin of the longer prefix"


def test_prompts_are_corrected_from_a_number_on() -> None:
    made, plain, other = maker(), maker(), maker(words_per_token=0.5)
    assert [made.make(0), made.make(3)] == [plain.make(0), plain.make(3)]
    assert made.correct(8, 0.5) == 8
    for number in (6, 7, 8, 9, 20):
        assert made.make(number) == (plain if number < 8 else other).make(number)
    assert made.correct(16, 2.0) == 21, "it has passed 16"
    lengths = {number: made.make(number).words for number in (7, 8, 20, 21, 40)}
    assert lengths == {7: 60, 8: 30, 20: 30, 21: 120, 40: 120}


def test_a_correction_spares_what_was_made_before_a_number_that_was_given_back() -> None:
    made = maker()
    made.make(20)
    made.make(3)  # its request had not begun, so the mix gave it again
    assert made.correct(8, 0.5) == 21


def test_only_common_words_count_as_words_that_may_be_others() -> None:
    assert maker().make(0).words
    assert not maker(words=WORDS).make(0).words, "those of a tokenizer stay"


def test_only_the_limit_may_differ() -> None:
    drawn = maker(prompt=None, output=Lengths("uniform", 5, 500)).make(3)
    assert drawn.prompt is None
    assert drawn.output is not None


def test_requests_have_prompt_and_limit_of_their_numbers() -> None:
    made = maker(output=Lengths("uniform", 5, 500))
    ask = Ask(model="m", ignore_eos=True)
    maker_of_requests = RequestMaker(make_api("openai-chat", ask), lambda asked, _: msgspec.json.encode(asked))
    request = of_drawn(maker_of_requests, made.make)(Bench().task)
    for number in range(20):
        drawn, sent = made.make(number), request(number)
        assert (drawn.prompt or "").encode() in sent.data
        assert sent.least_output == drawn.output


def test_the_answers_of_a_trace_have_its_lengths() -> None:
    made = maker()
    lengths = [0, 7, UNKNOWN]
    api = make_api("openai-chat", Ask(max_tokens=50))
    maker_of_requests = RequestMaker(api, lambda asked, _: b"%d %b" % (asked.limit, asked.prompt.encode()))
    request = of_drawn(maker_of_requests, made.make, lengths.__getitem__)(Bench().task)
    for number, limit in enumerate((1, 7, 50)):
        assert request(number).data == b"%d %b" % (limit, (made.make(number).prompt or "").encode())
