"""Prompts of given lengths that are made, each from the seed and its own number: any worker makes the same one.

A prompt is a sequence of common English words. Each is one token, with the space before it, in the usual vocabularies,
so no tokenizer is needed: a prompt of 512 tokens has 512 words. With a tokenizer, the words are those that are one
token in its vocabulary. A server may count otherwise: its vocabulary may split words, and its template comes on top. So
there is a number of words per token. It is 1 unless it is given, and it may change at a number of the requests; lengths
in tokens do not change with it.

No two prompts of a run begin alike: the first words are the number of the request, which is mixed with the salt of the
run. A server that keeps prefixes of earlier prompts finds none of them, neither from this run nor from an earlier one.
Prefixes that are shared on purpose come before these words.
"""

import random
from typing import Any

import msgspec

from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.words import WORDS, Words


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
    words: tuple[str, ...] = ()
    """Words of one token each, a power of two of them; empty: `WORDS`."""
    ids: tuple[int, ...] = ()
    """Token ids of the words: prompts are lists of these. Empty: prompts are texts."""
    words_per_token: float = 1.0
    """A prompt has so many words for each token of its length, rounded."""
    corrected: bool = False
    """The words per token may change while the run goes on (`Maker.correct`)."""


class Drawn(msgspec.Struct, frozen=True):
    """One request."""

    prompt: str | None
    """None: that of the task's `Ask`."""
    output: int | None
    """Limit of the answer; None: that of the task's `Ask`."""
    ids: tuple[int, ...] = ()
    """Token ids, instead of the prompt."""
    input: int = 0
    """Tokens that the prompt is made to have; 0: it is not made."""
    words: int = 0
    """Words of a prompt that is made of common words, so that another number of them is possible; 0: it is none."""
    messages: tuple[dict[str, Any], ...] = ()
    """A conversation, instead of the prompt."""
    body: dict[str, Any] = {}
    """Members of the body; those that the user gives for all requests replace them."""


class Maker:
    """Makes the prompts of a worker."""

    def __init__(self, synthetic: Synthetic) -> None:
        self._synthetic = synthetic
        words = synthetic.words or WORDS
        self._words = Words(synthetic.seed, words)
        self._ids = dict(zip(words, synthetic.ids, strict=False))
        self._prefixes: dict[tuple[int, int], str] = {}
        self._numbers = random.Random()
        self._last = -1
        self._from, self._ratio = 0, synthetic.words_per_token
        self._earlier: list[tuple[int, float]] = []

    def correct(self, number: int, words_per_token: float) -> int:
        """Prompts have other words per token from the request of this number on; gives the number from which this is
        true. It is a later one if this maker has passed it: prompts that were made stay as they are."""
        self._earlier.append((self._from, self._ratio))
        self._from, self._ratio = max(number, self._last + 1, self._from), words_per_token
        return self._from

    def make(self, number: int) -> Drawn:
        """The request of a number. About 10 µs, whatever the length; most of it is the seeding. Token ids take 40 ns
        each on top."""
        synthetic, numbers, words = self._synthetic, self._numbers, self._words
        numbers.seed(synthetic.seed << 64 | number)
        prompt: str | None = None
        ids: tuple[int, ...] = ()
        length = count = group = 0
        self._last = max(self._last, number)  # a number that was given back comes after later ones
        # all but the words is drawn first: it is the same with any number of words
        if synthetic.prompt is not None:
            length = max(1, synthetic.prompt.draw(numbers) - synthetic.shared) + synthetic.shared
            group = numbers.randrange(synthetic.groups) if synthetic.shared else 0
        output = None if synthetic.output is None else synthetic.output.draw(numbers)
        if synthetic.prompt is not None:
            ratio = self._ratio if number >= self._from else self._ratio_of(number)
            shared = round(synthetic.shared * ratio)
            own = max(1, round(length * ratio) - shared)
            count = own + shared
            parts = [words.salt(number, synthetic.salt, own), words.draw(numbers, own - words.salt_words)]
            if synthetic.shared:
                parts.insert(0, self._prefix(group, shared))
            prompt = " ".join(filter(None, parts))
            if self._ids:
                ids, prompt = tuple(map(self._ids.__getitem__, prompt.split(" "))), None
        return Drawn(prompt, output, ids, length, 0 if synthetic.words else count)

    def _ratio_of(self, number: int) -> float:
        return next(ratio for since, ratio in reversed(self._earlier) if number >= since)

    def _prefix(self, group: int, length: int) -> str:
        """The first `length` words of a group: a shorter prefix is the begin of a longer one."""
        prefix = self._prefixes.get((group, length))
        if prefix is None:
            synthetic = self._synthetic
            numbers = random.Random(f"{synthetic.seed}/{synthetic.salt}/prefix/{group}")
            prefix = " ".join(numbers.choices(synthetic.words or WORDS, k=length))
            self._prefixes[group, length] = prefix
        return prefix
