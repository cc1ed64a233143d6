"""Checks of answers: how they are written, what passes them, and what becomes of a request that fails one."""

import json
import re
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers.bench import DONE, END, FINISH, HEAD, ROLE, TOKEN, Bench, answer, delta, usage, values

from llmstress.engine.api import make_api
from llmstress.engine.api.answers import Answer, ToolCall
from llmstress.engine.api.ask import Ask
from llmstress.engine.checks.check import KINDS, Check, split_check
from llmstress.engine.checks.judge import _MAKERS, HIDDEN, Ended, Judge
from llmstress.engine.checks.schemas import validator_of
from llmstress.engine.checks.time_limit import TookTooLong, time_limit
from llmstress.engine.stream.checking import Checked, CheckedText
from llmstress.engine.stream.observer import Both, Observer

ENDLESS = r"(( tok\d)+)+$x"
CALLS = Answer(tools=(ToolCall("get", "{}"), ToolCall("put", "{}")))


def test_each_kind_has_a_function() -> None:
    assert KINDS.keys() == _MAKERS.keys()
    assert all(kind.form.partition(":")[0] == name for name, kind in KINDS.items())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("not-empty", ""),
        (" json ", ""),
        ("contains: a:b ", " a:b"),
        ("min-tokens: 16", "16"),
        ("finish: stop , length", "stop,length"),
        ("tool: get", "get"),
        ("json-schema:a.json", "a.json"),
        (r"regex:^\d+$", r"^\d+$"),
    ],
)
def test_checks_are_read(text: str, value: str) -> None:
    check = split_check(text)
    assert (check.value, str(check)) == (value, text.strip())
    assert check.kind == text.strip().partition(":")[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write one of not-empty, contains:TEXT"),
        ("foo", "'foo' is not a check; write one of not-empty, contains:TEXT, "),
        ("Contains:x", "is not a check"),
        ("contains", "is not a check; write contains:TEXT"),
        ("contains:", "has nothing after the colon; write contains:TEXT"),
        ("json:x", "is not a check; write json"),
        ("min-tokens:0", "is not a number of tokens from 1"),
        ("min-tokens:-1", "is not a number of tokens from 1"),
        ("min-tokens:٣", "is not a number of tokens from 1"),
        ("min-tokens:9" + "0" * 5000, "is not a number of tokens from 1"),
        ("finish:stop,,length", "has an empty finish reason"),
        ("regex:(", "is not a regular expression: missing )"),
        ("regex:" + "(" * 5000, "is not a regular expression"),
        ("regex:a{99999999999999999999}", "is not a regular expression"),
        ("tool: ", "has nothing after the colon"),
    ],
)
def test_what_is_no_check(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        split_check(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 400


def fault(check: str, text: str = "", *, value: str | None = None, **ended: Any) -> str:
    split = split_check(check)
    made = Judge([split if value is None else Check(split.kind, value, split.text)])
    found = ended.pop("answer", Answer(text))
    return made.fault(Ended(found, ended.get("finish", "stop"), ended.get("tokens", 9)))


@pytest.mark.parametrize(
    ("check", "good", "bad", "found"),
    [
        ("not-empty", ["a", " .\n"], ["", " \n"], "not-empty: the text is empty"),
        ("contains:a b", ["xa bx"], ["a  b", "A B", ""], "contains:a b: the text is "),
        ("not-contains:no", ["yes", ""], ["I know"], 'not-contains:no: found in "I know"'),
        (r"regex:^\d+$", ["12"], ["12a", ""], r"regex:^\d+$: the text is "),
        ("json", ['{"a": [1]}', "1", '"\\ud83d"'], ["", "{", "{} yes", "```json\n{}\n```", "[" * 5000], "json: "),
    ],
)
def test_texts(check: str, good: list[str], bad: list[str], found: str) -> None:
    assert [fault(check, text) for text in good] == [""] * len(good)
    assert all(fault(check, text).startswith(found) for text in bad)


def test_what_is_no_text() -> None:
    assert fault("min-tokens:9", tokens=9) == ""
    assert fault("min-tokens:9", tokens=8) == "min-tokens:9: 8 tokens"
    assert fault("finish:stop,length", finish="length") == ""
    assert fault("finish:stop", finish="length") == "finish:stop: the finish reason is length"
    assert fault("tool:put", answer=CALLS) == fault("tool:*", answer=CALLS) == fault("not-empty", answer=CALLS) == ""
    assert fault("tool:del", answer=CALLS) == "tool:del: it calls get, put"
    assert fault("tool:*", "hi") == 'tool:*: no call; the text is "hi"'
    assert fault("contains:x", answer=Answer(reasoning="hm")) == (
        'contains:x: the text is empty; the reasoning is "hm"'
    )
    assert fault("contains:x", answer=CALLS) == "contains:x: the text is empty, it calls get"


def test_the_first_check_that_fails_is_named_and_little_of_the_answer() -> None:
    judge = Judge(map(split_check, ("not-empty", "contains:x", "json")))
    assert judge.reads
    found = judge.fault(Ended(Answer("y" * 100_000), "stop", 1))
    assert found.startswith('contains:x: the text is "yyy')
    assert len(found) < 1100
    assert not Judge(map(split_check, ("min-tokens:1", "finish:stop"))).reads


@pytest.mark.parametrize("check", ["contains:x", "not-contains:e", "json", "tool:*"])
def test_an_answer_that_may_hold_a_secret_is_not_shown(check: str) -> None:
    judge = Judge([split_check(check)], shows=False)
    assert judge.fault(Ended(Answer("sesame"), "stop", 1)) == f"{check}: {HIDDEN}"
    short = Judge([split_check("min-tokens:2")], shows=False)
    assert short.fault(Ended(Answer("sesame"), "stop", 1)) == "min-tokens:2: 1 tokens"


SCHEMA = {
    "$defs": {"name": {"type": "string", "pattern": "^[A-Z]"}},
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/name"}, "ages": {"type": "array", "prefixItems": [{"type": "integer"}]}},
    "required": ["name"],
}


def test_json_schema() -> None:
    schema = json.dumps(SCHEMA)
    assert fault("json-schema:f", '{"name": "A", "ages": [1, "x"]}', value=schema) == ""
    for text, why in (
        ('{"name": "a"}', "$.name: 'a' does not match '^[A-Z]'"),
        ('{"name": "A", "ages": ["x"]}', "$.ages[0]: 'x' is not of type 'integer'"),
        ("{}", "$: 'name' is a required property"),
        ("no", "not JSON"),
        ("[" * 5000, ""),
    ):
        assert fault("json-schema:f", text, value=schema).startswith(f"json-schema:f: {why}")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "a JSON Schema is an object"),
        ('{"type": "text"}', "it is not a JSON Schema: $.type: 'text'"),
        ('{"$ref": "http://127.0.0.1:1/x"}', "a schema must be complete in its file"),
        ('{"properties": {"a": {"$ref": "#/$defs/none"}}}', "it refers to something that it does not have"),
        ('{"not":' * 200 + "{}" + "}" * 200, "it has more than 100 levels"),
    ],
)
def test_what_is_no_schema(schema: str, why: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        validator_of(schema)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("check", "value"), [(f"regex:{ENDLESS}", None), ("json-schema:f", json.dumps({"pattern": ENDLESS}))]
)
def test_a_check_that_takes_too_long_is_undecided(check: str, value: str | None) -> None:
    text = " tok1" * 40
    found = fault(check, json.dumps(text) if value else text, value=value)
    assert found == f"{check}: undecided, it took more than 50 ms"
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert fault("not-empty", text) == ""


def test_a_number_too_large_for_a_schema_is_undecided() -> None:
    pytest.importorskip("jsonschema")
    check = Check("json-schema", '{"multipleOf": 0.1}', "json-schema:a.json")
    found = Judge([check]).fault(Ended(Answer(text="1" + "0" * 400), "stop", 1))
    assert found == "json-schema:a.json: undecided, the answer has a number that is too large"


def test_a_process_that_is_held_up_has_not_used_the_time() -> None:
    with time_limit(0.01):
        held_up = threading.Event().wait(0.05)
    assert not held_up


def test_a_time_limit_leaves_other_errors_alone() -> None:
    with pytest.raises(KeyError), time_limit(5):
        raise KeyError
    with pytest.raises(TookTooLong), time_limit(0.001):
        re.search(ENDLESS, " tok1" * 40)


# --- requests


def checked(*checks: str) -> Observer:
    judge = Judge(map(split_check, checks))
    return CheckedText(judge, make_api("openai-chat", Ask())) if judge.reads else Checked(judge)


def answered(observer: Observer, **bench: Any) -> Bench:
    """A streamed answer of three tokens, in which two are measured after the first."""
    made = Bench(observer=observer, **bench)
    made.begin()
    made.read(90, HEAD + ROLE + TOKEN)
    made.read(100, TOKEN)
    made.read(110, delta(content=" b"))
    made.read(120, FINISH + usage(3) + DONE + END)
    return made


@pytest.mark.parametrize("check", ["contains: a a b", "min-tokens:3", "finish:stop", "not-empty"])
def test_an_answer_that_passes_is_ok(check: str) -> None:
    bench = answered(checked(check))
    assert bench.freed == [False]
    part = bench.steady()
    assert part.ended == {"ok": 1}
    assert values(part.latency, "e2e") == [120]


@pytest.mark.parametrize("check", ["contains:c", "min-tokens:4", "finish:length", "json"])
def test_an_answer_that_fails_is_a_failure_without_pause_and_keeps_its_connection(check: str) -> None:
    bench = answered(checked("not-empty", check), retries=3, on_status=(("validation", "retry"),))
    assert (bench.freed, bench.waits) == ([False], []), "no pause, and no retry after a token"
    assert not bench.links[0].closed
    made = bench.cut()
    part = made.parts[2]
    part.settle()
    assert part.ended == {"validation": 1}
    assert (part.counters.output, part.counters.output_failed) == (0, 3)
    assert values(part.latency, "ttft") == values(part.latency, "itl") == values(part.latency, "e2e") == []
    assert values(part.latency_failed, "ttft") == [90]
    assert values(part.latency_failed, "itl") == [10, 10]
    [sample] = made.samples
    assert (sample.error, sample.status, sample.request_id) == ("validation", 200, "req-7")
    assert sample.text.startswith(f"{check}: ")


def test_samples_are_without_secrets_and_short() -> None:
    bench = Bench(observer=checked("json"))
    bench.begin()
    bench.read(90, HEAD + delta(content="sk-secret" + "x" * 500) + FINISH + DONE + END)
    [sample] = bench.cut().samples
    assert "sk-secret" not in sample.text
    assert len(sample.text) == 200


def test_other_ends_are_not_judged() -> None:
    for reads, ended in (
        ((answer("503 No", b"x"),), "http_503"),
        ((HEAD + TOKEN + delta(finish="content_filter") + DONE + END,), "filtered"),
        ((HEAD + TOKEN + END,), "truncated"),
    ):
        bench = Bench(observer=checked("json", "finish:other"))
        bench.begin()
        for data in reads:
            bench.read(90, data)
        assert bench.steady().ended == {ended: 1}


def test_an_answer_in_one_piece_may_be_asked_for_again() -> None:
    bad, good = (
        answer("200 OK", b'{"choices":[{"message":{"content":"%b"},"finish_reason":"stop"}]}' % text)
        for text in (b"no", b"yes")
    )
    bench = Bench(streamed=False, observer=checked("contains:yes"), retries=1, on_status=(("validation", "retry"),))
    bench.begin()
    bench.read(50, bad)
    assert bench.waits
    bench.at(1000).stream.resume()
    bench.read(1050, good)
    part = bench.steady()
    assert (part.ended, part.retried) == ({"ok": 1}, {"validation": 1})


def test_a_failed_check_may_end_the_run_and_then_a_pause_follows() -> None:
    bench = answered(checked("json"), on_status=(("validation", "end"),))
    assert (bench.freed, bench.fatal) == ([True], [True])


def test_an_answer_that_is_too_long_is_undecided() -> None:
    observer = checked("not-empty")
    assert isinstance(observer, CheckedText)
    observer.most = 300
    bench = answered(observer)
    made = bench.cut()
    assert made.parts[2].ended == {"validation": 1}
    assert made.samples[0].text == "undecided: the answer has more than 300 bytes, which are not kept"


@pytest.mark.parametrize("order", [lambda pair: pair, reversed])
def test_of_two_observers_both_judge(order: Callable[[Any], Any]) -> None:
    assert answered(Both(*order((checked("json"), Observer())))).steady().ended == {"validation": 1}
    assert answered(Both(*order((checked("not-empty"), checked("finish:stop"))))).steady().ended == {"ok": 1}
