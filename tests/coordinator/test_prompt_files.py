"""Files of prompts: their formats, their indexes, and what is said about bad ones."""

import io
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers.examples import examples
from helpers.made_options import options
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.load_text import Turns
from llmstress.coordinator.prompts import cache, places
from llmstress.coordinator.prompts.read import PromptFacts, read_prompts
from llmstress.coordinator.prompts.source import PromptSource
from llmstress.coordinator.run.prompt_files import check_prompt_file, prompt_warnings
from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.prompts.file import FileChanged, FilePrompts, FromFiles, Rows
from llmstress.engine.prompts.row import Row, Turn


def read(path: Path, home: Path | None = None, **given: Any) -> PromptFacts:
    environ = {"XDG_CACHE_HOME": str(home or path.parent / "cache")}
    return read_prompts(PromptSource(str(path), **given), environ, path.parent / "otherwise")


def rows_of(known: PromptFacts) -> list[Row]:
    rows = Rows(known.files[0])
    return [rows.row(number) for number in range(known.rows)]


def written(directory: Path, text: str | bytes, name: str = "prompts") -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


SAID = [{"role": "system", "content": "s"}, {"role": "user", "content": "Hallo, wörld"}]
HUMAN, GPT = {"from": "human", "value": 'a "question" [ü] {'}, {"from": "gpt", "value": "an answer"}
BODY = {"model": "m", "messages": SAID, "temperature": 0.5, "max_tokens": 7, "stream": True, "tools": [{"a": 1}]}

FORMATS: dict[str, tuple[str, str, list[Turn]]] = {
    "lines": (
        "first\r\n\n  \n[second] {x}\nüb, er",
        "lines",
        [Turn(text="first"), Turn(text="[second] {x}"), Turn(text="üb, er")],
    ),
    "prompts": (
        lines({"prompt": "one"}, {"prompt": "two", "id": 7}),
        "prompts",
        [Turn(text="one"), Turn(text="two")],
    ),
    "token ids": (lines({"prompt": [1, 2, 300]}), "prompts", [Turn(ids=(1, 2, 300))]),
    "vLLM": (
        lines({"prompt": "one", "output_tokens": 5}, {"prompt": "two"}),
        "prompts",
        [Turn(text="one", output=5), Turn(text="two")],
    ),
    "messages": (lines({"messages": SAID}), "messages", [Turn(messages=tuple(SAID))]),
    "bodies": (
        lines(BODY),
        "bodies",
        [Turn(body={"messages": SAID, "temperature": 0.5, "tools": [{"a": 1}]}, output=7)],
    ),
    "CSV": (
        'id,prompt,output_tokens\n1,"two\nlines, ""quoted""",5\n2,short,\n\n',
        "prompts",
        [Turn(text='two\nlines, "quoted"', output=5), Turn(text="short")],
    ),
    "ShareGPT": (
        json.dumps([{"id": "a", "conversations": [HUMAN, GPT]}, {"id": "b", "conversations": []}], indent=2),
        "sharegpt",
        [Turn(text=HUMAN["value"], answer="an answer", output=2)],
    ),
    "ShareGPT in one line, not in ASCII": (
        json.dumps([{"conversations": [{"from": "system", "value": "s"}, HUMAN, GPT]}], ensure_ascii=False),
        "sharegpt",
        [Turn(text=HUMAN["value"], answer="an answer", output=2)],
    ),
    "single_turn": (
        lines({"text": "one", "output_length": 3}, {"texts": ["two", "three"], "extra": {"top_k": 5}, "delay": 1500}),
        "single_turn",
        [Turn(text="one", output=3), Turn(text="two\nthree", body={"top_k": 5}, delay_s=1.5)],
    ),
    "multi_turn": (
        lines({"session_id": "x", "turns": [{"text": "one"}, {"text": "two", "delay": 500}]}),
        "multi_turn",
        [Turn(text="one")],
    ),
    "mooncake_trace": (
        lines(
            {"timestamp": 0, "input_length": 600, "output_length": 9, "hash_ids": [1, 2]},
            {"text_input": "said", "output_length": 3},
            {"messages": SAID, "tools": [{"t": 1}]},
            {"payload": BODY},
        ),
        "mooncake_trace",
        [
            Turn(input=600, output=9, hash_ids=(1, 2)),
            Turn(text="said", output=3),
            Turn(messages=tuple(SAID), body={"tools": [{"t": 1}]}),
            Turn(body={"messages": SAID, "temperature": 0.5, "tools": [{"a": 1}]}, output=7),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
def test_formats_are_told_by_their_content(tmp_path: Path, name: str, mark: bytes) -> None:
    text, format, first_turns = FORMATS[name]
    known = read(written(tmp_path, mark + text.encode()))
    assert known.facts[0].reading.format == format
    assert [row.turns[0] for row in rows_of(known)] == first_turns


def test_rows_keep_all_their_turns(tmp_path: Path) -> None:
    text = lines({"session_id": "x", "turns": [{"text": "one"}, {"text": "two", "delay": 500}]})
    [row] = rows_of(read(written(tmp_path, text)))
    assert row == Row((Turn(text="one"), Turn(text="two", delay_s=0.5)), "x")
    more = [HUMAN, GPT, {"from": "human", "value": "more"}, {"from": "gpt", "value": "of it all"}]
    [row] = rows_of(read(written(tmp_path, lines({"id": "y", "conversations": more}))))
    assert [(turn.text, turn.answer, turn.output) for turn in row.turns] == [
        (HUMAN["value"], "an answer", 2),
        ("more", "of it all", 2),
    ]


@pytest.mark.parametrize("name", ["q.jsonl", "q.csv", "q.json"])
def test_the_prompt_may_have_another_name(tmp_path: Path, name: str) -> None:
    text = {
        "q.jsonl": lines({"question": "why?", "prompt": "no"}),
        "q.csv": "question,prompt\nwhy?,no\n",
        "q.json": json.dumps([{"question": "why?"}]),
    }[name]
    [row] = rows_of(read(written(tmp_path, text, name), column="question"))
    assert row.turns == (Turn(text="why?"),)


BAD: dict[str, tuple[str | bytes, dict[str, str], str]] = {
    "empty": ("", {}, "the file is empty"),
    "blank": (" \n", {}, "the file is empty"),
    "no text": ("a\0b", {}, "this is no text"),
    "parquet": ("PAR1xxxx", {}, "it is a parquet file"),
    "gzip": (b"\x1f\x8b\x08", {}, "decompress it first"),
    "a typing error": (
        lines({"promt": "x"}),
        {},
        "has the keys ['promt']; did you mean prompt by 'promt'? Understood are rows with prompt",
    ),
    "another key later": (
        lines({"prompt": "x"}, {"promt": "y"}),
        {},
        "line 2: prompt is missing, and must be a text or a list of token ids; the keys are ['promt']; did you mean "
        "prompt by 'promt'?",
    ),
    "a number": (lines({"prompt": 5}), {}, "line 1: prompt is 5, and must be a text"),
    "ids that are none": (lines({"prompt": [1, "a"]}), {}, "line 1: prompt is [1, 'a'], and must be"),
    "a length": (lines({"prompt": "x", "output_tokens": "many"}), {}, "line 1: output_tokens is 'many', and must be"),
    "no JSON": (lines({"prompt": "x"}) + "{oops\n", {}, "line 2: this is not a JSON object"),
    "no JSON at all": ("{oops\n", {}, "no row is a JSON object; line 1: this is not a JSON object"),
    "null": (lines({"prompt": None}), {}, "line 1: prompt is null, so there is no prompt"),
    "turns that are no list": (lines({"turns": "x"}), {}, "line 1: turns is 'x', and must be a list with at least one"),
    "a role": (
        lines({"messages": [SAID[0], {"rol": "user", "content": "x"}]}),
        {},
        "line 1: messages: message 2: role is missing, and must be given; the keys are ['rol', 'content']; did you "
        "mean role by 'rol'?",
    ),
    "a content": (
        lines({"messages": [{"role": "user", "contnt": "x"}]}),
        {},
        "line 1: messages: message 1: content is missing, and must be given; the keys are ['role', 'contnt']; did you "
        "mean content by 'contnt'?",
    ),
    "no content": (lines({"messages": [{"role": "user"}]}), {}, "message 1: content is missing, and must be given"),
    "a speaker": (
        lines({"conversations": [{"from": "humn", "value": "x"}, GPT]}),
        {},
        "it has no row with a prompt (sharegpt format); none has a question (from human or user) that the next entry",
    ),
    "messages": (lines({"messages": [5]}), {}, "line 1: messages is"),
    "turns": (lines({"turns": [{"text": "x"}, {"image": "y", "text": "z"}]}), {}, "turn 2: image can't be sent"),
    "no list": (lines({"conversations": [HUMAN, GPT]}, {"conversation": "x"}), {}, "line 2: conversation is 'x', and"),
    "conversations": (lines({"converstions": [HUMAN]}), {}, "did you mean conversations by 'converstions'?"),
    "who speaks": (
        lines({"conversations": [HUMAN, GPT]}, {"conversations": [HUMAN, {"form": "gpt", "value": "x"}]}),
        {},
        "line 2: conversations: entry 2: from or role is missing, and must be who speaks, like \"human\" or \"gpt\"; "
        "the keys are ['form', 'value']; did you mean from by 'form'?",
    ),
    "what is said": (
        f'[\n{json.dumps({"conversations": [{"from": "human", "vaule": "x"}, GPT]})}]',
        {},
        "line 2: conversations: entry 1: value or content is missing, and must be a text; the keys are ['from', "
        "'vaule']; did you mean value by 'vaule'?",
    ),
    "a said number": (lines({"conversations": [HUMAN, {"from": "gpt", "value": 5}]}), {}, "entry 2: value is 5, and"),
    "an entry": (lines({"conversations": [HUMAN, "x"]}), {}, "entry 2: it is 'x', and must be an object with from"),
    "both": (lines({"input_length": 5, "text_input": "x"}), {}, "input_length and text_input are both given"),
    "ids": (lines({"input_length": 5, "hash_ids": [-1]}), {}, "line 1: hash_ids is [-1]"),
    "cut off": ('[\n{"conversations": [', {}, "line 2: this is not JSON"),
    "no comma": ('[{"conversations": []}\n{"conversations": []}]', {}, "line 2: expected a comma"),
    "no row": (lines({"conversations": []}), {}, "it has no row with a prompt (sharegpt format)"),
    "columns": ("promt,b\nx,y\n", {"name": "a.csv"}, "the columns are promt, b; did you mean promt?"),
    "a column": ("a,b\nx,y\n", {"column": "c"}, "line 1: --prompt-column c needs"),
    "a wide row": ("prompt,b\nx,y\nx\n", {}, "line 3: it has 1 values, and the first line names 2 columns"),
    "a quote": ('prompt,b\nx,"y\nz,a\n', {}, "a quote that line 2 opens is not closed"),
    "latin-1": ("caf\xe9\n".encode("latin-1"), {}, "line 1: it is not UTF-8 text"),
    "named": ("plain\n", {"format": "sharegpt"}, "line 1: rows of the format sharegpt are JSON objects"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_line_key_and_expectation(tmp_path: Path, name: str) -> None:
    text, given, said = BAD[name]
    path = written(tmp_path, text, given.get("name", "prompts"))
    with pytest.raises(UsageError) as refused:
        read(path, format=given.get("format"), column=given.get("column"))
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"--prompts {path}")
    assert not [*(tmp_path / "cache" / "llmstress" / "prompts").iterdir()], "nothing is left behind"


def test_conversations_need_rows_with_several_turns(tmp_path: Path) -> None:
    ask = options(turns=Turns(2, 6))
    api = make_api("openai-chat", Ask(prompt="x"))
    single = read(written(tmp_path, lines({"text": "one"}, {"text": "two"}), "single"))
    with pytest.raises(UsageError) as refused:
        check_prompt_file(single, api, ask)
    assert str(refused.value) == (
        f"--prompts {tmp_path / 'single'}: each of its 2 rows has one turn (single_turn format), so --turns 2..6 can't "
        "make conversations of them: use rows with turns or conversations, or drop --turns"
    )
    check_prompt_file(single, api, msgspec.structs.replace(ask, turns=Turns(1, 1)))
    mixed = read(written(tmp_path, lines({"turns": ["a"]}, {"turns": ["a", "b"]}, {"turns": ["a"]}), "mixed"))
    check_prompt_file(mixed, api, ask)
    assert prompt_warnings(mixed, ask) == [
        f"--prompts {tmp_path / 'mixed'}: 2 of 3 rows have fewer than 2 turns: their conversations are shorter than "
        "--turns 2..6 asks for"
    ]
    assert prompt_warnings(mixed, msgspec.structs.replace(ask, turns=Turns(1, 6))) == []
    assert prompt_warnings(mixed, msgspec.structs.replace(ask, turns=None)) == []


def test_bad_rows_may_be_left_out(tmp_path: Path) -> None:
    known = read(written(tmp_path, lines({"prompt": "x"}, {"prompt": 5}, {"prompt": "y"})), skip_bad_rows=True)
    assert [row.turns[0].text for row in rows_of(known)] == ["x", "y"]
    [facts] = known.facts
    assert (facts.bad, facts.bad_rows[0].line) == (1, 2)


def test_what_cant_be_read_row_by_row_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="this is no regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(UsageError, match="it can't be read \\(No such file or directory\\)"):
        read(tmp_path / "nowhere")


def test_an_index_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "one\ntwo\n")
    first = read(path)
    os.utime(path)
    again = read(path)
    assert again.files[0].index != first.files[0].index, "the file has another time"
    monkeypatch.setattr(places, "of_lines", None)
    monkeypatch.setattr("llmstress.coordinator.prompts.read.of_lines", None)
    assert read(path) == again
    Path(again.files[0].index).write_bytes(b"cut")
    with pytest.raises(TypeError):
        read(path)  # it is made anew


def test_an_index_without_a_cache_is_in_the_directory_of_the_run(tmp_path: Path) -> None:
    path = written(tmp_path, "one\ntwo\n")
    known = read_prompts(PromptSource(str(path)), {}, tmp_path / "otherwise")
    assert Path(known.files[0].index).parent == tmp_path / "otherwise"
    assert [row.turns[0].text for row in rows_of(known)] == ["one", "two"]


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_INDEXES", 3)
    known = []
    for number in range(5):
        known.append(read(written(tmp_path, f"{number}\n", f"file{number}"), tmp_path / "cache"))
        os.utime(known[-1].files[0].index, (number, number))
    kept = [Path(each.files[0].index).exists() for each in known]
    assert kept == [False, False, True, True, True]
    assert len([*(tmp_path / "cache" / "llmstress" / "prompts").iterdir()]) == 6


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, lines({"prompt": "x"}))
    known = read(path)
    rows = Rows(known.files[0])
    path.write_text("\n" * 40)
    with pytest.raises(ValueError, match="the file has changed since its rows were found"):
        Rows(known.files[0])
    with pytest.raises(ValueError, match="the file changed during the run"):
        rows.row(0)


@pytest.mark.parametrize("name", ["rows.txt", "rows.jsonl"])
def test_a_row_that_is_cut_off_during_the_run_is_not_sent(name: str, tmp_path: Path) -> None:
    text = "one\ntwo and three\n" if name.endswith("txt") else lines({"prompt": "one"}, {"prompt": "two and three"})
    path = written(tmp_path, text, name)
    rows = Rows(read(path).files[0])
    os.truncate(path, len(text) - 6)
    assert rows.row(0).turns[0].text == "one"
    with pytest.raises(FileChanged, match="the file changed during the run \\(row 2 is cut off\\)"):
        rows.row(1)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(st.lists(texts, min_size=1, max_size=8), st.sampled_from([None, 1]), st.booleans())
@examples(60)
def test_members_of_arrays_are_found_in_pieces_of_any_size(said: list[str], indent: int | None, ascii: bool) -> None:
    members = [{"conversations": [{"from": "human", "value": each}]} for each in said]
    data = json.dumps(members, indent=indent, ensure_ascii=ascii).encode()
    for chunk in (1, 7, 1 << 20):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(places, "CHUNK", chunk)
            found = [*places.of_array(io.BytesIO(data))]
        assert all(isinstance(each, places.Place) for each in found)
        assert [json.loads(data[each.begin : each.end]) for each in found if isinstance(each, places.Place)] == members


def from_files(known: PromptFacts, **given: Any) -> FilePrompts:
    return FilePrompts(FromFiles(**{"files": known.files, "order": "sequential", "seed": 1, "salt": 2, **given}))


def test_salted_prompts_begin_with_words_of_their_own(tmp_path: Path) -> None:
    for text in (
        lines({"prompt": "same"}),
        lines({"messages": [{"role": "system", "content": "same"}, {"role": "user", "content": "x"}]}),
        lines({"messages": [{"role": "user", "content": [{"type": "text", "text": "same"}]}]}),
        lines({"model": "m", "input": "same"}),
        lines({"model": "m", "system": "same", "messages": [{"role": "user", "content": "x"}]}),
        lines({"model": "m", "input": [1, 2]}),
        lines({"prompt": [1, 2]}),
    ):
        known = read(written(tmp_path, text))
        plain, salted, other = (
            from_files(known, salted=salted, salt=salt) for salted, salt in ((0, 2), (1, 2), (1, 3))
        )
        assert plain.make(0) == plain.make(1)
        begins = {msgspec.json.encode(each.make(number)) for each in (plain, salted, other) for number in range(50)}
        assert len(begins) == 1 + 50 + 50
        assert salted.make(7) == from_files(known, salted=True).make(7)


def test_pools_give_a_row_each(tmp_path: Path) -> None:
    pools = tmp_path / "pools"
    pools.mkdir()
    written(pools, lines(*({"text": f"a{number}"} for number in range(4))), "a.jsonl")
    written(pools, lines(*({"text": f"b{number}", "output_length": 5} for number in range(3))), "b.jsonl")
    known = read(pools, tmp_path / "cache")
    assert known.pools
    drawn = from_files(known, order="random")
    said = [drawn.make(number) for number in range(400)]
    assert {each.output for each in said} == {5}
    assert {each.prompt for each in said} == {f"a{one}\nb{other}" for one in range(4) for other in range(3)}


def test_made_rows_share_what_their_hash_ids_say(tmp_path: Path) -> None:
    known = read(written(tmp_path, lines(*({"input_length": 600, "hash_ids": [1, number]} for number in (2, 3)))))
    one, other = (from_files(known).make(number) for number in range(2))
    assert (one.input, one.output) == (600, None)
    words, others = ((each.prompt or "").split() for each in (one, other))
    assert len(words) == len(others) == 600
    assert words[:512] == others[:512]
    assert words[512:517] != others[512:517]
