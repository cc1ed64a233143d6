"""The words of a tokenizer that are one token each: prompts made of them have exact lengths.

Only the coordinator reads the tokenizer. The workers get the words and their ids, so a tokenizer costs nothing during a
run.
"""

import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.engine.prompts.words import WORDS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FEWEST_WORDS = 16

FIRST_ID = 1_000
"""Token ids of the common words without a tokenizer: from here on, which every vocabulary has."""

_TRIED = 20_000
"""Entries of the tokenizer's vocabulary that are tried, if too few of the common words are one token."""


class Vocabulary(msgspec.Struct, frozen=True):
    """Words of which prompts are made, a power of two of them, and their token ids."""

    words: tuple[str, ...] = WORDS
    ids: tuple[int, ...] = tuple(range(FIRST_ID, FIRST_ID + len(WORDS)))


def read_vocabulary(path: str) -> Vocabulary:
    """The words of the tokenizer in the file at `path` (`tokenizer.json`).

    Raises:
        UsageError: the package is not installed, the file is not a tokenizer, or it has too few such words.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UsageError("--tokenizer needs the package tokenizers: pip install 'llmstress[tokenizers]'") from None
    try:
        text = Path(path).read_text("utf-8")
        tokenizer = Tokenizer.from_str(text)
    except OSError as error:
        raise UsageError(f"--tokenizer {path}: it can't be read ({error.strerror})") from None
    except Exception as error:  # the package raises Exception itself
        raise UsageError(f"--tokenizer {path}: this is not a tokenizer.json ({str(error)[:100]})") from None
    words = _words_of_one_token(tokenizer)
    if len(words) < FEWEST_WORDS:
        raise UsageError(
            f"--tokenizer {path}: only {len(words)} words are one token each, and at least {FEWEST_WORDS} are needed"
        )
    words = words[: 1 << min(len(words), len(WORDS)).bit_length() - 1]
    _check(tokenizer, words, path)
    return Vocabulary(tuple(words), tuple(_encoded(tokenizer, f" {word}")[-1] for word in words))


def _words_of_one_token(tokenizer: "Tokenizer") -> list[str]:
    """Common words first, then those of the tokenizer."""
    own = (
        word
        for token, _ in itertools.islice(sorted(tokenizer.get_vocab().items(), key=lambda each: each[1]), _TRIED)
        if (word := token.lstrip("Ġ▁ ")) and word.isascii() and word.isalpha() and word.islower() and len(word) > 2
    )
    found: list[str] = []
    for word in dict.fromkeys((*WORDS, *own)):
        two = _encoded(tokenizer, f"{word} {word}")
        if len(two) == 2 and len(_encoded(tokenizer, f"{word} {word} {word}")) == 3 and _is_said(tokenizer, two, word):
            found.append(word)
            if len(found) == len(WORDS):
                break
    return found


def _is_said(tokenizer: "Tokenizer", ids: list[int], word: str) -> bool:
    """Whether the ids stand for the word, and not for an unknown one."""
    return word in tokenizer.decode(ids)


def _encoded(tokenizer: "Tokenizer", text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _check(tokenizer: "Tokenizer", words: list[str], path: str) -> None:
    """Check that a text of so many words has as many tokens, whatever stands beside what."""
    sample = random.Random(0).choices(words, k=2_000)
    if (tokens := len(_encoded(tokenizer, " ".join(sample)))) != len(sample):
        raise UsageError(
            f"--tokenizer {path}: a text of {len(sample):,} words of one token each has {tokens:,} tokens, so lengths "
            "can't be exact: leave it out"
        )
