"""Made prompts against a server whose tokenizer splits words: corrected during the run, or given."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers.kept_requests import received
from helpers.processes import llmstress, mock_server

from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Maker, Synthetic
from llmstress.engine.prompts.words import SALT_WORDS

PER_WORD, TEMPLATE = 1.3, 4
"""What the mock counts: tokens of a word, and marks of a message, which are counted as words."""

CLOSED, OPEN = ("--total-streams", "8"), ("--rate", "400/s", "--total-streams", "30")


def words_of(text: str) -> str:
    """Those that are the same in each run with one seed."""
    return " ".join(text.split()[SALT_WORDS:])


def ran(kept: Path, requests: int, *arguments: str) -> tuple[dict[str, Any], Counter[tuple[int, str, int]]]:
    """A run against the mock: the summary, and for each request its words (their number, and those after the salt) and
    its input tokens."""
    mock = ("--tokens-per-word", str(PER_WORD), "--gap-ms", "0", "--tokens", "2", "--keep-requests", str(kept))
    with mock_server(*mock) as server:
        code, summary, _ = llmstress(
            server.url, "--model", "mock-7b", "--headless", "--quiet", "--no-probe", "--proxy", "none",
            *("--requests", str(requests), "--seed", "7", "--interval", "50ms", *arguments),
        )  # fmt: skip
    assert (code, summary["requests"]["ok"]) == (0, requests)
    sent = [(each["body"]["messages"][-1]["content"], each["input_tokens"]) for each in received(kept)]
    return summary, Counter((len(text.split()), words_of(text), tokens) for text, tokens in sent)


def made(requests: int, *changes: tuple[int, float], ratio: float = 1.0) -> Counter[tuple[int, str, int]]:
    """What these requests are and what the mock counts in them, with other words per token from some numbers on."""
    maker = Maker(Synthetic(prompt=Lengths("uniform", 80, 120), seed=7, salt=0, words_per_token=ratio))
    found: Counter[tuple[int, str, int]] = Counter()
    pending = list(changes)
    for number in range(requests):
        if pending and number == pending[0][0]:
            maker.correct(*pending.pop(0))
        drawn = maker.make(number)
        found[drawn.words, words_of(drawn.prompt or ""), round(PER_WORD * (drawn.words + TEMPLATE))] += 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("procs", "load"),
    [("1", OPEN), ("3", OPEN), ("1", CLOSED), ("3", CLOSED), ("5", CLOSED)],
    ids=["open-1", "open-3", "closed-1", "closed-3", "closed-5"],
)
def test_prompts_are_corrected_from_the_same_request_on_in_all_processes(
    procs: str, load: tuple[str, ...], tmp_path: Path
) -> None:
    requests = 1200
    summary, sent = ran(tmp_path / "kept", requests, "--prompt-tokens", "80..120", "--procs", procs, *load)
    [first, *then] = summary["tokens"]["words_per_token"]
    assert (first["ratio"], first["from_request"]) == (1.0, 0)
    assert [each["late_from_request"] for each in then] == [None] * len(then)
    changes = [(each["from_request"], each["ratio"]) for each in then if each["reached"]]
    assert changes, "it was corrected before its end"
    assert sent == made(requests, *changes), "a function of numbers and ratios alone"
    last, ratio = changes[-1]
    corrected = made(requests, *changes) - made(last, *changes)
    delivered = sum(tokens * count for (_, _, tokens), count in corrected.items())
    lengths = Maker(Synthetic(prompt=Lengths("uniform", 80, 120), seed=7, salt=0))
    asked = sum(lengths.make(number).input for number in range(last, requests))
    assert delivered == pytest.approx(asked, rel=0.02)
    assert f"{ratio:g} words per token" in "".join(each["text"] for each in summary["events"])


@pytest.mark.parametrize(
    "procs", ["3", pytest.param("1", marks=pytest.mark.slow), pytest.param("2", marks=pytest.mark.slow)]
)
def test_a_given_ratio_gives_the_same_prompts_in_any_number_of_processes(procs: str, tmp_path: Path) -> None:
    requests = 300
    given = ("--prompt-tokens", "80..120", "--words-per-token", "0.8")
    summary, sent = ran(tmp_path / "kept", requests, *given, "--procs", procs, *CLOSED)
    assert sent == made(requests, ratio=0.8)
    assert [each["ratio"] for each in summary["tokens"]["words_per_token"]] == [0.8]
    assert not [each for each in summary["events"] if "words per token" in each["text"]]
