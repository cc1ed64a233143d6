"""Prompts of given lengths that are made, each from the seed and its own number: any worker makes the same one.

A prompt is a sequence of common English words. Each is one token, with the space before it, in the usual vocabularies,
so no tokenizer is needed: a prompt of 512 tokens has 512 words. What the server counts besides (its template, the
system message) comes on top.

No two prompts of a run begin alike: the first `SALT_WORDS` words are the number of the request, which is mixed with the
salt of the run. A server that keeps prefixes of earlier prompts finds none of them, neither from this run nor from an
earlier one. Prefixes that are shared on purpose come before these words.
"""

import itertools
import random

import msgspec

from llmstress.engine.prompts.lengths import Lengths

WORDS = tuple(
    """
    time year people way day man thing woman life child world school state family student group country problem hand
    part place case week company system program question work number night point home water room mother area money
    story fact month lot right study book eye job word business issue side kind head house service friend father
    power hour game line end member law car city name president team minute idea body back parent face others level
    office door health person art war history party result change morning reason research girl moment air teacher
    force education foot boy age policy music market road table field river garden paper window machine letter plan
    green white black small large long short early late high low old new good open close front
    """.split()  # noqa: SIM905
)
"""Common words; 128 of them, so that a word is 7 bits of a number."""

SALT_WORDS = 5
"""2^35 requests of a run begin differently."""

_BITS = 7

_RANGE = 1 << (_BITS * SALT_WORDS)

_ODD = 0x5_A1B2_C3D5
"""Odd, so that the product with a number is another one for each number below `_RANGE`."""

_TEXT_WORDS = 1 << 16


class Synthetic(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the prompts of a task are like. Lengths are tokens."""

    prompt: Lengths | None = None
    """None: the prompt of the task's `Ask`."""
    output: Lengths | None = None
    """Limit of the answer; None: that of the task's `Ask`."""
    shared: int = 0
    """Length of the prefix that the prompts of a group share."""
    groups: int = 1
    seed: int
    """Of lengths, words and groups."""
    salt: int
    """Of the run: what is the same in two runs with one seed begins differently in each."""


class Drawn(msgspec.Struct, frozen=True):
    """One request."""

    prompt: str | None
    """None: that of the task's `Ask`."""
    output: int | None
    """Limit of the answer; None: that of the task's `Ask`."""


class Maker:
    """Makes the prompts of a worker."""

    def __init__(self, synthetic: Synthetic) -> None:
        self._synthetic = synthetic
        words = random.Random(f"{synthetic.seed}/words").choices(WORDS, k=_TEXT_WORDS)
        self._text = " ".join(words)
        self._begins = [0, *itertools.accumulate(len(word) + 1 for word in words)]
        self._prefixes: dict[int, str] = {}
        self._numbers = random.Random()

    def make(self, number: int) -> Drawn:
        """The request of a number. About 10 µs, whatever the length; most of it is the seeding."""
        synthetic, numbers = self._synthetic, self._numbers
        numbers.seed(synthetic.seed << 64 | number)
        prompt = None
        if synthetic.prompt is not None:
            own = max(1, synthetic.prompt.draw(numbers) - synthetic.shared)
            parts = [self._salt(number, min(own, SALT_WORDS)), self._words(numbers, own - SALT_WORDS)]
            if synthetic.shared:
                parts.insert(0, self._prefix(numbers.randrange(synthetic.groups)))
            prompt = " ".join(filter(None, parts))
        output = None if synthetic.output is None else synthetic.output.draw(numbers)
        return Drawn(prompt, output)

    def _salt(self, number: int, length: int) -> str:
        mixed = (number * _ODD + self._synthetic.salt) % _RANGE
        digits = [mixed >> (_BITS * place) & (1 << _BITS) - 1 for place in range(length)]
        return " ".join(WORDS[digit] for digit in digits)

    def _words(self, numbers: random.Random, length: int) -> str:
        parts = []
        while length > 0:
            begin = numbers.randrange(_TEXT_WORDS)
            end = min(_TEXT_WORDS, begin + length)
            parts.append(self._text[self._begins[begin] : self._begins[end] - 1])
            length -= end - begin
        return " ".join(parts)

    def _prefix(self, group: int) -> str:
        if group not in self._prefixes:
            synthetic = self._synthetic
            numbers = random.Random(f"{synthetic.seed}/{synthetic.salt}/prefix/{group}")
            self._prefixes[group] = " ".join(numbers.choices(WORDS, k=synthetic.shared))
        return self._prefixes[group]
