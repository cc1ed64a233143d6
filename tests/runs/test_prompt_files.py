"""Prompts from files as they arrive at a server."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers.http_servers import keeping
from helpers.processes import llmstress, mock_server
from tokenizers import Tokenizer, models, pre_tokenizers

from llmstress.engine.prompts.words import WORDS

COMMON = ("--model", "m", "--headless", "--quiet", "--no-probe", "--proxy", "none", "--no-stream")


def sent(*flags: str) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = []
    with keeping(bodies) as url:
        code, summary, said = llmstress(url, *COMMON, *flags)
    assert (code, summary["requests"]["ok"]) == (0, len(bodies)), said
    return bodies


@pytest.mark.parametrize(
    "procs", [pytest.param("1", marks=pytest.mark.slow), "2", pytest.param("5", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("load", [("--total-streams", "7"), ("--rate", "100/s")], ids=["closed", "open"])
def test_each_row_is_sent_once_by_any_number_of_processes(tmp_path: Path, procs: str, load: tuple[str, str]) -> None:
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"row {number}", "output_tokens": number + 1} for number in range(53)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bodies = sent("--prompts", str(path), "--once", "--order", "shuffled", "--procs", procs, *load)
    assert Counter((body["messages"][0]["content"], body["max_tokens"]) for body in bodies) == Counter(
        (row["prompt"], row["output_tokens"]) for row in rows
    )


TWO_TURNS = '{{"session_id": "{0}", "turns": [{{"text": "row {0}"}}, {{"text": "row {0}"}}]}}'


@pytest.mark.parametrize(
    ("row", "more"),
    [("row {0}", ()), pytest.param(TWO_TURNS, ("--turns", "2"), marks=pytest.mark.slow)],
    ids=["requests", "conversations"],
)
def test_a_file_that_is_cut_off_during_the_run_ends_it_with_one_message(
    tmp_path: Path, row: str, more: tuple[str, ...]
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(row.format(number) + "\n" for number in range(9_000)))

    class Cuts(list[dict[str, Any]]):
        """Cuts the file off when the first request has come."""

        def append(self, body: dict[str, Any]) -> None:
            super().append(body)
            os.truncate(path, 200)

    bodies = Cuts()
    with keeping(bodies) as url:
        code, summary, said = llmstress(
            url, *COMMON, "--prompts", str(path), "--procs", "2", "--total-streams", "4", *more
        )
    assert code == 6, said
    assert summary["ended_by"] == "errors"
    assert "Traceback" not in said
    assert said.count(f"--prompts {path}: the file changed during the run (row ") == 1
    assert "cut off" in said
    texts = [body["messages"][0]["content"] for body in bodies]
    assert set(texts) <= {f"row {number}" for number in range(100)}, "no part of a row is sent"


@pytest.mark.slow
def test_rows_are_used_again_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("one\ntwo\nthree\n")
    bodies = sent(
        "--prompts", str(path), "--procs", "1", "--total-streams", "1", "--requests", "7", "--max-tokens", "9"
    )
    assert [body["messages"][0]["content"] for body in bodies] == ["one", "two", "three"] * 2 + ["one"]
    assert {body["max_tokens"] for body in bodies} == {9}


@pytest.mark.slow
def test_the_flags_of_a_file_work_in_a_configuration(tmp_path: Path) -> None:
    path, config = tmp_path / "prompts.csv", tmp_path / "run.toml"
    path.write_text("question\nwhy?\nhow?\n")
    config.write_text(
        f'prompts = "{path}"\nprompt-column = "question"\nonce = true\nsalt = true\noutput-tokens = "3..3"\n'
        "procs = 2\ntotal-streams = 2\n"
    )
    bodies = sent("--config", str(config))
    said = [body["messages"][0]["content"].split("\n") for body in bodies]
    assert sorted(text for _, text in said) == ["how?", "why?"]
    assert len({words for words, _ in said}) == 2
    assert {body["max_tokens"] for body in bodies} == {3}


@pytest.mark.slow
def test_whole_bodies_are_sent_with_model_stream_and_limits_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "bodies.jsonl"
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    body = {"model": "theirs", "messages": messages, "temperature": 0.5, "max_tokens": 7, "stream": True, "seed": None}
    path.write_text(json.dumps(body) + "\n")
    [received] = sent("--prompts", str(path), "--once", "--procs", "1", "--total-streams", "1")
    assert received == {"model": "m", "messages": messages, "temperature": 0.5, "max_tokens": 7, "stream": False}


REFUSED = {
    "token ids": ({"prompt": [1, 2]}, (), "has token ids, which openai-chat doesn't take"),
    "the body of another API": ({"model": "m", "input": "x"}, (), "and those of openai-chat have messages"),
    "a system message": ({"model": "m", "messages": []}, ("--system", "x"), "--system can't be used"),
    "a body for a template": (
        {"model": "m", "messages": []},
        ("--api", "http", "--body", "{prompt}"),
        "and http builds its body from --body",
    ),
    "a bad row": ({"prompt": 5}, (), "line 1: prompt is 5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_starts_with_a_file_that_cant_be_sent(tmp_path: Path, name: str) -> None:
    row, flags, why = REFUSED[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    bodies: list[dict[str, Any]] = []
    with keeping(bodies) as url:
        code, _, said = llmstress(url, *COMMON, "--prompts", str(path), *flags, "--duration", "1s")
    assert (code, bodies) == (2, [])
    assert why in said


@pytest.mark.slow
def test_token_ids_of_a_file_are_sent_where_the_api_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "ids.jsonl"
    path.write_text('{"prompt": [5, 6, 7]}\n')
    with mock_server() as server:
        code, summary, _ = llmstress(
            server.url, "--api", "openai-completions", *COMMON[2:], "--model", "mock-7b",
            *("--prompts", str(path), "--requests", "4", "--procs", "1", "--total-streams", "2"),
        )  # fmt: skip
    assert (code, summary["requests"]["ok"], summary["tokens"]["input"]) == (0, 4, 12)


@pytest.mark.slow
def test_each_task_of_a_mix_has_a_file_of_its_own(tmp_path: Path) -> None:
    one, other, config = tmp_path / "one.txt", tmp_path / "other.jsonl", tmp_path / "run.toml"
    one.write_text("one a\none b\n")
    other.write_text('{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "other"}]}\n')
    config.write_text(
        f'prompts = "{one}"\norder = "random"\n[[task]]\nname = "a"\n[[task]]\nname = "b"\nprompts = "{other}"\n'
        '[[task]]\nname = "c"\nprompt = "hello"\n'
    )
    bodies = sent("--config", str(config), "--procs", "2", "--total-streams", "2", "--requests", "30")
    said = Counter(body["messages"][-1]["content"].split()[0] for body in bodies)
    assert said == {"one": 10, "other": 10, "hello": 10}


@pytest.mark.slow
def test_token_ids_of_made_prompts_have_exact_lengths(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    words = WORDS[:40]
    tokenizer = Tokenizer(models.WordLevel({word: 7 + id for id, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    with mock_server() as server:
        code, summary, said = llmstress(
            server.url, "--api", "openai-completions", *COMMON[2:], "--model", "mock-7b", "--requests", "10",
            *("--procs", "1", "--total-streams", "2", "--prompt-tokens", "30..50", "--token-ids"),
            *("--tokenizer", str(path)),
        )  # fmt: skip
    assert (code, summary["requests"]["ok"]) == (0, 10)
    asked = summary["tokens"]["asked"]
    assert asked["input"] == asked["input_delivered"] == summary["tokens"]["input"]
    assert f"asked     {asked['input']} input, delivered {asked['input']} (+0.0%)" in said


def test_rows_with_turns_are_conversations(tmp_path: Path) -> None:
    path = tmp_path / "talks.json"
    said = [
        ("human", "first"),
        ("gpt", "one"),
        ("human", "second"),
        ("gpt", "two"),
        ("human", "third"),
        ("gpt", "three"),
    ]
    talks = [{"conversations": [{"from": who, "value": text} for who, text in said[:length]]} for length in (6, 2)]
    path.write_text(json.dumps(talks))
    bodies = sent(
        *("--prompts", str(path), "--turns", "2", "--answers", "scripted", "--requests", "3", "--procs", "1"),
        *("--total-streams", "1", "--salt"),
    )
    contents = [[message["content"] for message in body["messages"]] for body in bodies]
    assert [each[0].split("\n")[1] for each in contents] == ["first"] * 3
    assert [each[1:] for each in contents] == [[], ["one", "second"], []]
    assert contents[0][0] == contents[1][0] != contents[2][0]
