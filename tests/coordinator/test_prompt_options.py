"""The options for prompts that differ."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_text import parse_stage
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.prompt_options import DEFAULT_PROMPT
from llmstress.coordinator.config.prompt_text import parse_lengths, parse_words_per_token
from llmstress.coordinator.config.shown_options import describe
from llmstress.coordinator.config.sweep_text import parse_sweep
from llmstress.coordinator.run.token_rate import expected_tokens
from llmstress.engine.api.ask import Ask
from llmstress.engine.prompts.lengths import Lengths


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("512", Lengths("fixed", 512)),
        ("512±64", Lengths("normal", 512, 64)),
        ("512 +- 64", Lengths("normal", 512, 64)),
        ("normal:512±64", Lengths("normal", 512, 64)),
        ("uniform:100..2000", Lengths("uniform", 100, 2000)),
        ("100..2000", Lengths("uniform", 100, 2000)),
        ("lognormal:512±300", Lengths("lognormal", 512, 300)),
    ],
)
def test_lengths(text: str, lengths: Lengths) -> None:
    assert parse_lengths(text) == lengths
    assert parse_lengths(str(lengths)) == lengths


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a number of tokens"),
        ("many", "is not a number of tokens"),
        ("-5", "is not a number of tokens"),
        ("5.5", "is not a number of tokens"),
        ("1e3", "is not a number of tokens"),
        ("gamma:5±2", "is not a number of tokens"),
        ("lognormal:5", "is not a number of tokens"),
        ("uniform:5", "is not a number of tokens"),
        ("uniform:5..", "is not a number of tokens"),
        ("512±", "is not a number of tokens"),
        ("±64", "is not a number of tokens"),
        ("٣", "is not a number of tokens"),
        ("0", "at least 1 token"),
        ("0..5", "at least 1 token"),
        ("0±5", "at least 1 token"),
        ("9..5", "the first number is higher"),
        ("10000001", "at most 10,000,000 tokens"),
        ("1..10000001", "at most 10,000,000 tokens"),
        ("99999999999", "at most 10,000,000 tokens"),
    ],
)
def test_other_texts_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_lengths(text)


@given(st.text(max_size=20))
def test_any_text_is_a_length_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_lengths(text).least >= 1


def options(**changes: Any) -> Options:
    return Options(**{"prompt": DEFAULT_PROMPT, "procs": 1, "streams": 10, **changes})


MADE = {"prompt_tokens": Lengths("fixed", 512)}
FILE = {"prompts": "file"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shared_prefix_tokens": 5}, "--shared-prefix-tokens is for prompts that are made"),
        ({"prefix_groups": 5}, "--prefix-groups is for prompts that are made"),
        ({**MADE, "prefix_groups": 5}, "--prefix-groups needs the length of the prefixes"),
        ({**MADE, "shared_prefix_tokens": -1}, "--shared-prefix-tokens"),
        ({**MADE, "prefix_groups": 0}, "--prefix-groups"),
        ({**MADE, "shared_prefix_tokens": 512}, "leaves nothing of a prompt of 512 tokens"),
        ({"prompt_tokens": Lengths("uniform", 10, 99), "shared_prefix_tokens": 10}, "leaves nothing of a prompt of 10"),
        ({**MADE, "prompt": "hi"}, "--prompt-tokens makes prompts"),
        ({**MADE, "prompt_ids": (1, 2)}, "--prompt-tokens and --prompt-ids"),
        ({**MADE, "api": "http", "body": "fixed"}, "--prompt-tokens needs a place in --body"),
        ({**MADE, "prompts": "f"}, "--prompt-tokens makes prompts, so it can't be used with --prompts"),
        ({"token_ids": True}, "--token-ids is for prompts that are made"),
        ({"tokenizer": "f"}, "--tokenizer is for prompts that are made"),
        ({"words_per_token": 0.8}, "--words-per-token is for prompts that are made"),
        ({**MADE, "words_per_token": 0.8, "tokenizer": "f"}, "--words-per-token can't be used with --tokenizer"),
        ({**MADE, "words_per_token": 0.8, "token_ids": True}, "--words-per-token can't be used with --token-ids"),
        ({"prompts_format": "csv"}, "--prompts-format is for prompts from a file"),
        ({"prompt_column": "q"}, "--prompt-column is for prompts from a file"),
        ({"order": "random"}, "--order is for prompts from a file"),
        ({"once": True}, "--once is for prompts from a file"),
        ({"salt": True}, "--salt is for prompts from a file"),
        ({"skip_bad_rows": True}, "--skip-bad-rows needs a file with rows"),
        ({"prompts": ""}, "--prompts is empty"),
        ({**FILE, "prompt": "hi"}, "--prompts and --prompt can't be used together"),
        ({**FILE, "prompt_ids": (1,)}, "--prompts and --prompt-ids can't be used together"),
        ({**FILE, "api": "http", "body": "fixed"}, "--prompts needs a place in --body"),
        ({**FILE, "prompt_column": "q", "prompts_format": "sharegpt"}, "--prompt-column can't be used with"),
        ({**FILE, "once": True, "order": "random"}, "--order random draws rows"),
        ({**FILE, "once": True, "requests": 5}, "--once and --requests can't be used together"),
        ({**FILE, "once": True, "trace": "t"}, "--once and --trace can't be used together"),
        ({**FILE, "once": True, "stages": (parse_stage("10s:5/s"),)}, "--once and --stage can't be used together"),
        ({**FILE, "once": True, "sweep": parse_sweep("1/s..10/s x2")}, "--once and --sweep can't be used together"),
        ({**FILE, "once": True, "warmup_s": 5.0}, "--once and --warmup can't be used together"),
        ({**FILE, "once": True, "warmup_requests": 5}, "--once and --warmup-requests can't be used together"),
        ({**FILE, "once": True, "procs": 5, "streams": None, "total": 3}, "--once needs a stream for each of the 5"),
        ({"output_tokens": Lengths("fixed", 5), "max_tokens": 5}, "--output-tokens can't be used with --max-tokens"),
        ({"output_tokens": Lengths("fixed", 5), "min_tokens": 5}, "--output-tokens can't be used with --min-tokens"),
        ({"output_tokens": Lengths("fixed", 5), "trace": "t"}, "--output-tokens can't be used with --trace"),
    ],
)
def test_contradictions_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        options(**given)


def test_the_summary_shows_lengths_as_they_are_given() -> None:
    shown = describe(options(prompt_tokens=Lengths("normal", 512, 64), output_tokens=Lengths("uniform", 5, 9)))
    assert (shown["prompt_tokens"], shown["output_tokens"]) == ("512±64", "uniform:5..9")


def test_a_rate_in_tokens_expects_the_means() -> None:
    chosen = options(prompt_tokens=Lengths("uniform", 100, 300), output_tokens=Lengths("normal", 50, 9))
    assert expected_tokens(chosen.ask("m"), chosen.prompt_tokens) == 250
    assert expected_tokens(Ask(system="s" * 40, max_tokens=10), Lengths("fixed", 100)) == 120


def test_words_per_token_are_a_number_or_auto() -> None:
    assert [parse_words_per_token(text) for text in ("auto", "0.87", " 20 ", "0.05")] == [0.0, 0.87, 20.0, 0.05]
    assert describe(options(**MADE))["words_per_token"] == "auto"
    for text in ("0", "0.04", "21", "-1", "1e0", "nan", "Auto", ""):
        with pytest.raises(ValueError, match=r"is neither auto nor a number from 0\.05 to 20, like 0\.87"):
            parse_words_per_token(text)
