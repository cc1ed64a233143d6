"""Words of a tokenizer that are one token each."""

import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.prompts.tokenizer import Vocabulary, read_vocabulary
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Maker, Synthetic
from llmstress.engine.prompts.words import WORDS


def word_level(directory: Path, *words: str) -> Path:
    """A tokenizer with these words."""
    tokenizer = Tokenizer(models.WordLevel({word: id for id, word in enumerate(("<unk>", *words))}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = directory / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def byte_level(directory: Path) -> Path:
    """A tokenizer of the kind of GPT-2, which has learned some of the common words and not the others."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [f"{word} {word} {word}" for word in WORDS[:40]] * 5
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=600, show_progress=False, initial_alphabet=alphabet)
    )
    path = directory / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def lengths_of(path: Path, vocabulary: Vocabulary) -> list[int]:
    tokenizer = Tokenizer.from_file(str(path))
    given = Lengths("uniform", 1, 700)
    made = Maker(Synthetic(prompt=given, seed=3, salt=4, words=vocabulary.words, shared=0))
    asked = Maker(Synthetic(prompt=given, seed=3, salt=4, words=vocabulary.words, ids=vocabulary.ids))
    found = []
    for number in range(40):
        drawn, ids = made.make(number), asked.make(number).ids
        encoded = tokenizer.encode(drawn.prompt or "", add_special_tokens=False).ids
        assert len(encoded) == drawn.input == len(ids)
        assert encoded[1:] == list(ids[1:]), "the first word has no space before it"
        found.append(len(encoded))
    return found


def test_prompts_have_exact_lengths(tmp_path: Path) -> None:
    path = word_level(tmp_path, "xyz", *(f"w{'abcdefgh'[n // 8]}{'abcdefgh'[n % 8]}" for n in range(40)), "time")
    vocabulary = read_vocabulary(str(path))
    assert len(vocabulary.words) == len(vocabulary.ids) == 32
    assert vocabulary.words[0] == "time", "the common words come first"
    assert len(set(lengths_of(path, vocabulary))) > 30


def test_words_of_several_tokens_are_not_used(tmp_path: Path) -> None:
    path = byte_level(tmp_path)
    vocabulary = read_vocabulary(str(path))
    assert 16 <= len(vocabulary.words) < len(WORDS)
    lengths_of(path, vocabulary)


def test_prompts_of_few_words_are_distinct_all_the_same(tmp_path: Path) -> None:
    path = word_level(tmp_path, *WORDS[:17])
    vocabulary = read_vocabulary(str(path))
    assert len(vocabulary.words) == 16
    made = Maker(Synthetic(prompt=Lengths("fixed", 20), seed=3, salt=4, words=vocabulary.words))
    assert len({tuple((made.make(number).prompt or "").split()[:9]) for number in range(5_000)}) == 5_000


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(UsageError, match=r"--tokenizer .*: it can't be read \(No such file"):
        read_vocabulary(str(path))
    path.write_text("{}")
    with pytest.raises(UsageError, match=r"this is not a tokenizer\.json"):
        read_vocabulary(str(path))
    with pytest.raises(UsageError, match="only 3 words are one token each, and at least 16 are needed"):
        read_vocabulary(str(word_level(tmp_path, *WORDS[:3])))
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r"pip install 'llmstress\[tokenizers\]'"):
        read_vocabulary(str(path))
