"""What flows take from answers, and how it is written into requests."""

import json

import msgspec
import pytest
from helpers.live_load import task_of

from llmstress.engine.api import make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.flows.extraction import Extraction, extract, parse_extraction
from llmstress.engine.flows.templates import Template
from llmstress.engine.http.templated import TemplatedRequests

ANSWER = '{"token": "a\\"b", "list": [{"n": 7}, {"n": null, "": 1}], "o": {"x": [true]}}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("v = json:token", 'a"b'),
        (" v=json: list.0.n ", "7"),
        ("v = json:o.x", "[true]"),
        ("v = json:list.1.n", None),
        ("v = json:list.2.n", None),
        ("v = json:list.-1.n", None),
        ("v = json:token.x", None),
        (r"v = regex:\"n\": (\d)", "7"),
        (r"v = regex:(x)?\"token", None),
        ("v = regex:(nothing)", None),
        ("v = header:X-Page", "3"),
        ("v = header:X-Other", None),
    ],
)
def test_an_extraction_finds_a_value_or_nothing(text: str, value: str | None) -> None:
    found = parse_extraction(text)
    values, missing = extract([found], ANSWER, {"x-page": "3"})
    assert values == ({} if value is None else {"v": value})
    assert missing == (found if value is None else None)


def test_an_answer_that_is_no_json_has_no_paths() -> None:
    wanted = [Extraction("a", "regex", "(b)"), Extraction("c", "json", "x")]
    assert extract(wanted, "abc", {}) == ({"a": "b"}, wanted[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("token", "is no variable with its place"),
        ("token = xpath:a", "is no variable with its place"),
        ("to-ken = json:a", "is no variable with its place"),
        ("token = json:a." + "9" * 5000, "is not a path like"),
        ("token = json:", "is not a path like"),
        ("token = json:a..b", "is not a path like"),
        ("token = regex:(", "not a regular expression"),
        ("token = regex:abc", "the pattern has no group"),
        ("token = header:a b", "is not the name of a header"),
    ],
)
def test_what_is_no_extraction_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_extraction(text)


def test_a_template_is_filled_in_one_pass() -> None:
    template = Template("{{a}} {b} {{ c.answer }}{{a}} {{no-1}} {{1}}")
    assert template.names == ["a", "c.answer", "a", "no-1"]
    assert template.fill({"a": "{{b}}", "c.answer": "x", "no-1": "y"}) == "{{b}} {b} x{{b}} y {{1}}"


def test_values_are_escaped_for_their_place() -> None:
    value = 'a"b\r\nX-Evil: 1 {prompt} {{token}} é/?&'
    ask = Ask(model="m", prompt="p {{v}}", body='{"q": "{{prompt}}", "m": "{model}", "v": "{{v}}"}')
    plan = task_of("http://h/docs/{{v}}?q={{v}}", api="http", ask=ask, headers=[("X-V", "<{{v}}>")])
    head, _, body = TemplatedRequests(plan, make_api("http", ask)).build(ask, {"v": value}).partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    coded = "a%22b%0D%0AX-Evil%3A%201%20%7Bprompt%7D%20%7B%7Btoken%7D%7D%20%C3%A9%2F%3F%26"
    assert line == f"POST /docs/{coded}?q={coded} HTTP/1.1"
    assert 'X-V: <a"b  X-Evil: 1 {prompt} {{token}} é/?&>' in headers
    assert f"Content-Length: {len(body)}" in headers
    assert json.loads(body) == {"q": f"p {value}", "m": "m", "v": value}


def test_prompt_and_system_go_into_the_form_of_the_api() -> None:
    ask = Ask(model="m", prompt="{{v}}!", system="for {{v}}")
    plan = task_of("http://h/v1/chat/completions", ask=ask)
    builder = TemplatedRequests(plan, make_api(plan.api, ask))
    assert builder.names == {"v"}
    body = json.loads(builder.build(ask, {"v": '"\n'}).partition(b"\r\n\r\n")[2])
    assert [each["content"] for each in body["messages"]] == ['for "\n', '"\n!']
    made = msgspec.structs.replace(ask, prompt="a made one {{v}}")
    body = json.loads(builder.build(made, {"v": "x"}).partition(b"\r\n\r\n")[2])
    assert [each["content"] for each in body["messages"]] == ["for x", "a made one {{v}}"]
