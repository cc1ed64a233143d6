"""Common to all APIs: the choice by URL, requests, meanings of answers, and APIs of other packages."""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.http_servers import Handler, served
from helpers.live_load import task_of
from helpers.processes import llmstress
from helpers.summaries import check

from llmstress.coordinator.commands.cli import cli
from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import parse_target
from llmstress.coordinator.target.api_choice import FLAGS, ask_of, choose_api, name_of_api
from llmstress.coordinator.target.auth import build_headers, warning_of_plain_http
from llmstress.engine.api import APIS, find_api, guess_api, make_api
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Framing
from llmstress.engine.api.meaning import NOTHING, TOKEN
from llmstress.engine.http.request import RequestBuilder
from llmstress.engine.stream.fast_path import shape_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adding-an-api.md"


def options(**changes: Any) -> Options:
    given: dict[str, Any] = {"procs": 1, "prompt": "Hi"}
    return Options(**(given | changes))


# the choice of an API


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h:8000", "openai-chat"),
        ("http://h:8000/v1", "openai-chat"),
        ("http://h/v1/chat/completions", "openai-chat"),
        ("http://h/v1/completions/", "openai-completions"),
        ("http://h/v1/responses", "openai-responses"),
        ("http://h/v1/embeddings", "openai-embeddings"),
        ("http://h/v1/messages?beta=true", "anthropic"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://API.Anthropic.com/v1", "anthropic"),
        ("https://res.openai.azure.com/", "azure-openai"),
        ("https://h/openai/deployments/d/chat/completions?api-version=1", "azure-openai"),
        ("https://api.groq.com/openai/v1", "openai-chat"),
        ("http://h/stream?prompt={prompt}", "openai-chat"),
        ("nonsense", "openai-chat"),
    ],
)
def test_which_api_a_url_means(url: str, name: str) -> None:
    assert name_of_api(options(url=url), url) == name
    assert name_of_api(options(url=url, api="http"), url) == "http", "unless it is given"


def test_no_endpoint_is_claimed_by_two() -> None:
    paths = [f"/v1{api.PATH}" for api in APIS.values() if api.PATH and api.AUTH != "api-key"]
    for path in paths:
        claiming = [name for name, api in APIS.items() if api.claims("h", path)]
        assert claiming == [guess_api("h", path)]


def test_what_an_api_takes_can_be_said() -> None:
    known = {*FLAGS, "usage"}
    assert set().union(*(api.TAKES for api in APIS.values())) == known
    assert known <= set(Ask.__struct_fields__)


@pytest.mark.parametrize(
    ("url", "changes", "field"),
    [
        ("https://api.openai.com", {}, "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", {}, "max_completion_tokens"),
        ("https://api.openai.com", {"limit_field": "max_tokens"}, "max_tokens"),
        ("https://api.openai.com.evil.com", {}, "max_tokens"),
        ("http://localhost:8000", {}, "max_tokens"),
        ("http://localhost:8000", {"limit_field": "max_completion_tokens"}, "max_completion_tokens"),
        ("https://res.openai.azure.com", {}, "max_completion_tokens"),
        ("https://res.openai.azure.com", {"limit_field": "max_tokens"}, "max_tokens"),
        ("https://api.openai.com/v1/completions", {}, "max_tokens"),
        ("https://api.openai.com/v1/responses", {}, "max_output_tokens"),
    ],
)
def test_the_name_of_the_limit_of_tokens(url: str, changes: dict[str, Any], field: str) -> None:
    asked = options(url=url, model="m", max_tokens=7, **changes)
    name = name_of_api(asked, url)
    api = choose_api(name, ask_of(asked, url, "m"))
    body = json.loads(api.body(api.ask))
    assert {key: value for key, value in body.items() if "max" in key} == {field: 7}


AZURE = "https://res.openai.azure.com/openai"


@pytest.mark.parametrize(
    ("url", "changes", "header"),
    [
        (f"{AZURE}/v1/embeddings", {}, "api-key"),
        (f"{AZURE}/v1/responses", {}, "api-key"),
        (f"{AZURE}/v1/completions", {}, "api-key"),
        (f"{AZURE}/v1/chat/completions", {"api": "openai-chat"}, "api-key"),
        (f"{AZURE}/deployments/d/embeddings?api-version=2024-10-21", {}, "api-key"),
        ("https://res.cognitiveservices.azure.com/openai/v1/embeddings", {}, "api-key"),
        ("https://res.services.ai.azure.com/openai/v1/responses", {}, "api-key"),
        ("http://gateway/openai/deployments/d/embeddings?api-version=2024-10-21", {}, "api-key"),
        (f"{AZURE}/v1/embeddings", {"auth": "bearer"}, "Authorization"),
        ("https://res.services.ai.azure.com/anthropic/v1/messages", {}, "x-api-key"),
        ("https://api.openai.com/v1/embeddings", {}, "Authorization"),
        ("https://openai.azure.com.evil.com/v1/responses", {}, "Authorization"),
        ("https://api.groq.com/openai/v1/responses", {}, "Authorization"),
        ("http://localhost:8000", {}, "Authorization"),
    ],
)
def test_which_header_carries_the_key(url: str, changes: dict[str, Any], header: str) -> None:
    asked = options(url=url, model="m", api_key_env="KEY", **changes)
    api = choose_api(name_of_api(asked, url), ask_of(asked, url, "m"))
    headers = build_headers(asked, api, parse_target(url, api), {"KEY": "k-123456"})
    assert [name for name, value in headers if "k-123456" in value] == [header]


@pytest.mark.parametrize(
    ("name", "changes", "flag"),
    [
        ("openai-chat", {"prompt_ids": (1,)}, "--prompt-ids"),
        ("openai-chat", {"batch": 2}, "--batch"),
        ("openai-chat", {"body": ""}, "--body"),
        ("openai-completions", {"system": ""}, "--system"),
        ("openai-completions", {"limit_field": "max_completion_tokens"}, "--limit-field"),
        ("openai-responses", {"min_tokens": 0}, "--min-tokens"),
        ("openai-embeddings", {"max_tokens": 5}, "--max-tokens"),
        ("anthropic", {"ignore_eos": True}, "--ignore-eos"),
        ("azure-openai", {"method": "GET"}, "--method"),
        ("sse", {"max_tokens": 5}, "--max-tokens"),
        ("sse", {"api_version": "1"}, "--api-version"),
        ("sse", {"stream": False}, "--no-stream"),
        ("text", {"text": "a"}, "--text"),
        ("text", {"done": "END"}, "--done"),
        ("http", {"encoding": "float"}, "--encoding"),
        ("http", {"extra_body": {"a": 1}}, "--extra-body"),
        ("http", {"method": "CONNECT"}, "--method CONNECT"),
    ],
)
def test_an_unsupported_option_is_rejected_by_its_flag(name: str, changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=re.escape(flag)):
        choose_api(name, options(**changes).ask("m"))


# requests


def head_of(name: str, ask: Ask, url: str, key: str | None = "k") -> list[str]:
    """The lines of a request's head except those that are always the same."""
    api = make_api(name, ask)
    target = parse_target(url, api)
    plan = task_of(target.url, api=name, ask=ask, headers=api.headers(key))
    head, _, body = RequestBuilder(plan, api).build(ask).decode().partition("\r\n\r\n")
    assert body.encode() == api.body(api.ask)
    lines = head.split("\r\n")
    assert [line for line in lines if line.startswith("Content-Length")] in ([f"Content-Length: {len(body)}"], [])
    same = ("Host", "User-Agent", "Accept-Encoding", "Content-Length")
    return [line for line in lines if not line.startswith(same)]


JSON = "Content-Type: application/json"
EVENTS, WHOLE, ANY = "Accept: text/event-stream", "Accept: application/json", "Accept: */*"
BEARER = "Authorization: Bearer k"


@pytest.mark.parametrize(
    ("name", "ask", "url", "lines"),
    [
        ("openai-chat", Ask(), "http://h", ["POST /v1/chat/completions HTTP/1.1", EVENTS, JSON, BEARER]),
        ("openai-chat", Ask(stream=False), "http://h", ["POST /v1/chat/completions HTTP/1.1", WHOLE, JSON, BEARER]),
        ("openai-completions", Ask(), "http://h", ["POST /v1/completions HTTP/1.1", EVENTS, JSON, BEARER]),
        ("openai-responses", Ask(), "http://h/v1", ["POST /v1/responses HTTP/1.1", EVENTS, JSON, BEARER]),
        ("openai-embeddings", Ask(), "http://h", ["POST /v1/embeddings HTTP/1.1", WHOLE, JSON, BEARER]),
        (
            "anthropic",
            Ask(),
            "http://h",
            ["POST /v1/messages HTTP/1.1", EVENTS, JSON, "x-api-key: k", "anthropic-version: 2023-06-01"],
        ),
        (
            "azure-openai",
            Ask(model="d"),
            "http://h",
            [
                "POST /openai/deployments/d/chat/completions?api-version=2024-10-21 HTTP/1.1",
                *(EVENTS, JSON, "api-key: k"),
            ],
        ),
        ("sse", Ask(prompt="a b"), "http://h/s?q={prompt}", ["GET /s?q=a%20b HTTP/1.1", EVENTS, BEARER]),
        ("text", Ask(body="{}"), "http://h/t", ["POST /t HTTP/1.1", ANY, JSON, BEARER]),
        ("http", Ask(method="DELETE", auth="api-key"), "http://h", ["DELETE / HTTP/1.1", ANY, "api-key: k"]),
        ("http", Ask(method="POST"), "http://h/x", ["POST /x HTTP/1.1", ANY, BEARER]),
    ],
)
def test_the_head_of_a_request(name: str, ask: Ask, url: str, lines: list[str]) -> None:
    assert head_of(name, ask, url) == lines


@pytest.mark.parametrize("name", ["openai-chat", "anthropic", "azure-openai"])
def test_a_key_in_any_header_is_warned_of_where_it_can_be_read(name: str) -> None:
    api = make_api(name, Ask(model="m"))
    for url, warned in (("http://h", True), ("https://h", False), ("http://localhost", False)):
        assert bool(warning_of_plain_http(parse_target(url, api), api.headers("k"))) == warned
        assert not warning_of_plain_http(parse_target(url, api), api.headers(None))


# meanings of answers


PLAIN_TOKENS = {
    "openai-chat": b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}',
    "azure-openai": b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}',
    "openai-completions": b'{"choices":[{"index":0,"text":"a","finish_reason":null}],"usage":null}',
    "openai-responses": b'{"type":"response.output_text.delta","sequence_number":4,"delta":"a"}',
    "anthropic": b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}',
    "sse": b"a",
    "text": b"a",
}


@pytest.mark.parametrize("name", APIS)
def test_a_plain_token_has_the_shape_that_the_fast_path_takes(name: str) -> None:
    api = make_api(name, Ask())
    if not api.STREAMS:
        assert api.classify(b"a") is NOTHING
        return
    data = PLAIN_TOKENS[name]
    assert api.classify(data) is TOKEN
    shape = shape_of(api)
    event = data if api.FRAMING is Framing.READS else api.EVENT_BEGINS + data + b"\n\n"
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    assert shape.payload(chunk.removesuffix(shape.end)) == data


# APIs of other packages


def code_on_the_page(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The module of the page, installed in a directory as a package manager does it."""
    project = tomllib.loads(code_on_the_page("toml"))["project"]
    (tmp_path / "llmstress_tgi.py").write_text(code_on_the_page("python"), "utf-8")
    about = tmp_path / f"llmstress_tgi-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    [(group, entries)] = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()), "no-api = os:sep"]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def path_with(directory: Path) -> dict[str, str]:
    """An environment in which the packages in `directory` are installed as well."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(directory), os.environ.get("PYTHONPATH")]))}


class Tgi(Handler):
    """A server with TGI's API."""

    asked: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.body())
        self.asked.append((self.path, body))
        count = body["parameters"]["max_new_tokens"]
        details = {"finish_reason": "length", "generated_tokens": count, "input_length": 7}
        events = [{"index": n, "token": {"id": n, "text": " a"}, "details": None} for n in range(count)]
        events[-1]["details"] = details
        stream = b"".join(b"data:%b\n\n" % json.dumps(event).encode() for event in events)
        self.answer(200, stream, {"Content-Type": "text/event-stream"})


@pytest.fixture
def tgi() -> Iterator[tuple[str, type[Tgi]]]:
    handler = type("Noting", (Tgi,), {"asked": []})
    with served(handler) as url:
        yield url, handler


def test_the_api_on_the_page_works_once_it_is_installed(installed: Path, tgi: tuple[str, type[Tgi]]) -> None:
    url, handler = tgi
    code, summary, said = llmstress(
        *("--url", url, "--api", "tgi", "--max-tokens", "6", "--prompt", "Hello"),
        *("--procs", "2", "--streams", "2", "--requests", "20"),
        env=path_with(installed),
    )
    assert code == 0, said
    check(summary)
    assert summary["run"]["api"] == "tgi"
    assert summary["requests"]["ok"] == 20
    assert summary["finish"] == {"length": 20}
    tokens = summary["tokens"]
    assert (tokens["output"], tokens["input"], tokens["events"], tokens["source"]) == (120, 140, 120, "usage")
    body = {"inputs": "Hello", "parameters": {"max_new_tokens": 6, "details": True}}
    assert handler.asked == [("/generate_stream", body)] * 20


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tgi2", "unknown API 'tgi2'; choose from anthropic, "),
        ("tgi2", "http, no-api, tgi"),
        ("no-api", "os:sep is not an API: '/'"),
    ],
)
def test_an_entry_point_that_is_no_api_is_rejected(installed: Path, name: str, words: str) -> None:
    code, _, said = llmstress("--url", "http://127.0.0.1:9", "--api", name, env=path_with(installed))
    assert code == 2
    assert f"--api {name}" in said
    assert words in said


def test_a_package_can_t_take_the_name_of_a_built_in_one(installed: Path) -> None:
    (installed / "llmstress_tgi-1.0.dist-info/entry_points.txt").write_text("[llmstress.api]\nhttp = os:sep\n")
    code, summary, _ = llmstress(
        *("--url", "http://127.0.0.1:9", "--api", "http", "--procs", "1", "--streams", "1", "--requests", "1"),
        env=path_with(installed),
    )
    assert (code, summary["errors"]["connect_refused"]["count"]) == (5, 1)


def test_an_unknown_name_is_rejected() -> None:
    with pytest.raises(LookupError, match="telepathy"):
        find_api("telepathy")


# the commands of the documentation


def commands() -> list[list[str]]:
    """The commands of the documentation that start a run."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text("utf-8").replace("\\\n", " ")
        found += [line for line in text.splitlines() if line.startswith("llmstress --url ") and "..." not in line]
    assert len(found) > 20
    return [shlex.split(line.partition(" > ")[0], comments=True)[1:] for line in found]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_a_command_of_the_pages_is_understood(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"env:(\w+)", " ".join(arguments)):
        monkeypatch.setenv(name, "x")
    context = cli.make_context("llmstress", list(arguments))
    given = {name: value for name, value in context.params.items() if name in Options.__struct_fields__}
    given["ramp_up_s"] = given["ramp_up_s"] or 0.0
    asked = Options(**{**given, "procs": given["procs"] or 1})
    assert asked.url is not None
    name = name_of_api(asked, asked.url)
    if name == "tgi":
        return  # it is installed on no machine but in the test above
    api = choose_api(name, ask_of(asked, asked.url, asked.model or "m"))
    assert parse_target(asked.url, api).url
    assert isinstance(api.body(api.ask), bytes)


# whole runs

DEMOS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "openai-chat": ((), {"output": 160, "events": 160, "source": "usage"}),
    "openai-completions": (("--prompt-ids", "5,6,7"), {"output": 160, "input": 60, "source": "usage"}),
    "openai-responses": (("--system", "Be kind"), {"output": 160, "events": 160, "source": "usage"}),
    "anthropic": (("--api-version", "2026-10-21"), {"output": 160, "events": 160, "source": "usage"}),
    "azure-openai": ((), {"output": 160, "events": 160, "source": "usage"}),
    "openai-embeddings": (("--batch", "3", "--encoding", "base64"), {"output": 0, "inputs": 60, "source": "usage"}),
    "sse": ((), {"output": 20 * 64, "events": 20 * 64, "source": "events"}),
    "text": ((), {"input": 0, "source": "events"}),
    "http": ((), {"output": 0, "events": 0, "source": None}),
}


def test_every_api_has_a_demo() -> None:
    assert DEMOS.keys() == APIS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", DEMOS)
def test_the_mock_can_be_loaded_over_every_api(name: str) -> None:
    flags, expected = DEMOS[name]
    limit = ("--max-tokens", "8") if "max_tokens" in APIS[name].TAKES else ()
    code, summary, said = llmstress(
        *("--api", name, *flags, *limit, "--procs", "1", "--streams", "20", "--requests", "20")
    )
    assert code == 0, said
    check(summary)
    assert summary["requests"]["ok"] == 20
    assert expected.items() <= summary["tokens"].items()
