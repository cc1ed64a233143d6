"""Options and their parsers: valid values are parsed, others are refused with one sentence without secrets."""

import itertools
import json
from typing import Any

import pytest
from helpers.examples import examples
from hypothesis import given
from hypothesis import strategies as st

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.keys import from_environment
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.parsing import MaxErrors, parse_header, parse_max_errors
from llmstress.coordinator.config.shown_options import describe
from llmstress.coordinator.config.target_url import Target, parse_target, redact_url, secret_parameters
from llmstress.coordinator.run.plans import default_procs, default_ramp_s, warning_of_ramp
from llmstress.coordinator.target.auth import find_key, given_headers
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.telemetry.durations import parse_duration

CHAT = "/chat/completions"
SECRET = "sk-s3cr3t"


def options(**changes: Any) -> Options:
    given: dict[str, Any] = {"procs": 2, "prompt": "Hi"}
    return Options(**(given | changes))


# durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2.0),
        ("0.25s", 0.25),
        ("1.5ms", 0.0015),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1m30s", 90.0),
        ("1m500ms", 60.5),
        ("1h", 3600.0),
        ("1h2m3s4ms", 3723.004),
        ("1h500ms", 3600.5),
        ("100m", 6000.0),
        ("0", 0.0),
        ("0s", 0.0),
        (" 2s ", 2.0),
        ("8784h", 366 * 86_400.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "10", "1.5", "5 m", "5 s", "-5s", "+5s", "s", "ms", "h", "1d", "1s1m", "2m1h", "1s1s", "1ms1s"),
        *("1.5m", "1.s", ".5s", "1_0s", "1e3s", "5S", "5sec", "infs", "nans", "0x5s", "5s\n5s", "٣s"),
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it like 500ms, 2s or 1m30s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["8785h", "99999999999999999s", "9" * 400 + "s", "1" * 5000 + "h"])
def test_a_duration_that_no_timer_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a year"):
        parse_duration(text)


@examples(100)
@given(hours=st.integers(0, 999), minutes=st.integers(0, 999), seconds=st.integers(0, 999), millis=st.integers(0, 9999))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int, millis: int) -> None:
    total = hours * 3600 + minutes * 60 + seconds + millis / 1000
    assert parse_duration(f"{hours}h{minutes}m{seconds}s{millis}ms") == pytest.approx(total)


@examples(200)
@given(text=st.text("0123456789.hms -+e", max_size=8))
def test_a_duration_is_read_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0
    assert text.strip() == "0" or text.strip()[-1] in "hms"


# error limits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250", MaxErrors(250, None)),
        ("1", MaxErrors(1, None)),
        ("5%", MaxErrors(None, 0.05)),
        ("0.5 %", MaxErrors(None, 0.005)),
        (" 100% ", MaxErrors(None, 1.0)),
    ],
)
def test_a_limit_of_errors_is_read(text: str, expected: MaxErrors) -> None:
    assert parse_max_errors(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0%", "0.0%", "101%", "-1", "1.5", "%", "5 percent", "many", "5%%", "1e3"])
def test_what_is_no_limit_of_errors_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number of errors like 250 nor a percentage like 5%"):
        parse_max_errors(text)


# headers

ENVIRON = {"KEY": SECRET, "KEY_OF_A_FILE": f"{SECRET}\n", "BLANK": "", "TWO_LINES": f"a\r\nX: {SECRET}"}


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-Key: v", ("X-Key", "v")),
        ("X-Key:v", ("X-Key", "v")),
        (" X-Key\n:  v w \t\r\n", ("X-Key", "v w")),
        ("X-Url: http://h:80", ("X-Url", "http://h:80")),
        ("X-Empty:", ("X-Empty", "")),
        ("X-Key: env:KEY", ("X-Key", "env:KEY")),
        ("X-Key:env:KEY_OF_A_FILE", ("X-Key", "env:KEY_OF_A_FILE")),
        ("X-Key: Bearer env:KEY", ("X-Key", "Bearer env:KEY")),
    ],
)
def test_a_header_is_read(text: str, header: tuple[str, str]) -> None:
    assert parse_header(text, ENVIRON) == header


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write it like"),
        (f"Authorization Bearer {SECRET}", "write it like"),
        (f": {SECRET}", "write it like"),
        (f"X Key: {SECRET}", "'X Key' is not a valid name"),
        (f"Schlüssel: {SECRET}", "is not a valid name"),
        (f"X-Key: {SECRET}\r\nX-Evil: 1", "not allowed in a header"),
        (f"X-Key: {SECRET}\0", "not allowed in a header"),
        (f"X-Key: {SECRET}ä", "not allowed in a header"),
        ("X-Key: env:TWO_LINES", "not allowed in a header"),
        ("X-Key: env:UNSET", "variable UNSET is not set"),
        ("X-Key: env:", "not the name of a variable"),
        ("X-Key: env:BLANK", "the environment variable BLANK is empty"),
        (f"Authorization: env:{SECRET}", "looks like a key, so it is not shown; give the name of the variable"),
        ("Authorization: env:hunter2", "not the name of a variable and may be a key"),
    ],
)
def test_what_is_no_header_is_refused_without_its_value(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        parse_header(text, ENVIRON)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        pytest.param("MY_KEY", "variable MY_KEY is not set", id="a name"),
        pytest.param("LLM_GATEWAY_2_TOKEN", "variable LLM_GATEWAY_2_TOKEN is not set", id="a name with a number"),
        pytest.param(SECRET, "looks like a key", id="a provider's key"),
        pytest.param("sk_live_51H8xY", "looks like a key", id="one that could be a name"),
        pytest.param("AKIAIOSFODNN7EXAMPLE", "looks like a key", id="in capitals"),
        pytest.param("0123456789abcdef0123456789abcdef", "looks like a key", id="hexadecimal"),
        pytest.param("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "looks like a key", id="base64"),
        pytest.param("Bearer abcdefgh", "looks like a key", id="as it is sent"),
        pytest.param("QWERTYUIOPASDFGHJKLZ", "may be a key", id="letters that are no words"),
        pytest.param("correct horse", "may be a key", id="a sentence"),
        pytest.param("hunter2", "may be a key", id="a password"),
        pytest.param("", "not the name of a variable", id="nothing"),
    ],
)
def test_what_stands_in_the_place_of_a_variable_is_shown_if_it_is_a_name(variable: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        from_environment(variable, ENVIRON)
    assert not variable or (variable in str(refused.value)) is said.startswith("variable ")
    with pytest.raises(UsageError, match=said):
        find_key(options(api_key_env=variable), "h", ENVIRON)


def test_a_header_gets_the_value_of_its_variable() -> None:
    given = options(headers=(("X-Key", "env:KEY_OF_A_FILE"), ("X-Mode", "length")))
    assert given_headers(given, ENVIRON) == [("X-Key", SECRET), ("X-Mode", "length")]
    for environ, said in (
        ({"KEY_OF_A_FILE": " \n"}, "is empty"),
        ({"KEY_OF_A_FILE": "x" * 65_537}, "65,537 characters"),
    ):
        with pytest.raises(UsageError, match=f"--header X-Key: .*{said}"):
            given_headers(given, environ)


# targets


def target(url: str, models: str, userinfo: str = "", note: str = "") -> Target:
    return Target(url, models, userinfo, note)


V1 = target("http://h:8000/v1/chat/completions", "http://h:8000/v1/models")
NOTE = f"{CHAT} was appended to the path "


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://h:8000", V1, id="a host gets /v1"),
        pytest.param("http://h:8000/", V1, id="a slash is no path"),
        pytest.param("http://h:8000//", V1, id="nor are two"),
        pytest.param("http://h:8000/v1", V1, id="/v1 is the usual base"),
        pytest.param("http://h:8000/v1/", V1, id="/v1/ too"),
        pytest.param("http://h:8000/v1/chat/completions", V1, id="the whole path is taken as it is"),
        pytest.param("http://h:8000/v1/chat/completions/", V1, id="but for a slash at its end"),
        pytest.param("http://h:8000/v1#top", V1, id="a fragment is dropped"),
        pytest.param(
            "http://h/chat/completions",
            target("http://h/chat/completions", "http://h/models"),
            id="the whole path may lack /v1",
        ),
        pytest.param(
            "https://h/openai/v1",
            target("https://h/openai/v1/chat/completions", "https://h/openai/v1/models"),
            id="a path before /v1 needs no note",
        ),
        pytest.param(
            "https://h/api/v2/",
            target("https://h/api/v2/chat/completions", "https://h/api/v2/models", note=NOTE + "/api/v2"),
            id="another path gets a note",
        ),
        pytest.param(
            "https://h/run/@cf/m",
            target("https://h/run/@cf/m/chat/completions", "https://h/run/@cf/m/models", note=NOTE + "/run/@cf/m"),
            id="an @ in the path is no user",
        ),
        pytest.param(
            "https://h/openai/deployments/d/chat/completions?api-version=1",
            target(
                "https://h/openai/deployments/d/chat/completions?api-version=1",
                "https://h/openai/deployments/d/models?api-version=1",
            ),
            id="a query is kept",
        ),
        pytest.param(
            "http://h?a=http://x/y",
            target("http://h/v1/chat/completions?a=http://x/y", "http://h/v1/models?a=http://x/y"),
            id="a query may hold a URL",
        ),
        pytest.param(
            "http://u:p@h:8000/v1",
            target(V1.url, V1.models_url, "u:p"),
            id="the user's name and password are taken out",
        ),
        pytest.param("http://u:p@ss@h:8000", target(V1.url, V1.models_url, "u:p@ss"), id="a password may hold an @"),
        pytest.param("http://u@h:8000", target(V1.url, V1.models_url, "u"), id="a user without a password"),
        pytest.param(
            "http://[::1]:8000",
            target("http://[::1]:8000/v1/chat/completions", "http://[::1]:8000/v1/models"),
            id="an IPv6 address with a port",
        ),
        pytest.param(
            "http://u:p@[2001:db8::1]/v1",
            target("http://[2001:db8::1]/v1/chat/completions", "http://[2001:db8::1]/v1/models", "u:p"),
            id="an IPv6 address with a user",
        ),
        pytest.param("HTTP://h:8000", V1, id="the scheme has any case"),
        pytest.param(
            "https://h:65535",
            target("https://h:65535/v1/chat/completions", "https://h:65535/v1/models"),
            id="the highest port",
        ),
    ],
)
def test_where_requests_go(url: str, expected: Target) -> None:
    assert parse_target(url, OpenAIChat(Ask())) == expected


HINTED = "; did you mean http://"


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        pytest.param("localhost:8000", HINTED + "localhost:8000?", id="a host without a scheme"),
        pytest.param("8000", HINTED + "localhost:8000?", id="a port alone"),
        pytest.param(":8000", HINTED + "localhost:8000?", id="a port with its colon"),
        pytest.param("http:/h:8000", "", id="one slash"),
        pytest.param("htp:/x", "", id="another scheme and one slash"),
        pytest.param("https:h", "", id="no slash"),
        pytest.param("h/v1", HINTED + "h/v1?", id="a host and a path without a scheme"),
        pytest.param("[::1]:8000", HINTED + "[::1]:8000?", id="an IPv6 address without a scheme"),
        pytest.param(f"u:{SECRET}@h:80", HINTED + "***@h:80?", id="a user without a scheme"),
        pytest.param(f"h?api_key={SECRET}", HINTED + "h?api_key=***?", id="a key without a scheme"),
        pytest.param("", "", id="nothing"),
        pytest.param("//h", "", id="no scheme but slashes"),
        pytest.param("ftp://h", "", id="another scheme"),
        pytest.param("ws://h", "", id="a websocket"),
        pytest.param("http://", "", id="no host"),
        pytest.param("http:///v1", "", id="a path without a host"),
        pytest.param("http://:8000", "", id="a port without a host"),
        pytest.param("http://u:p@:8000", "", id="a user without a host"),
        pytest.param("http:h", "", id="a scheme without slashes"),
        pytest.param("http://h:port", "", id="a port that is no number"),
        pytest.param("http://h:65536", "", id="a port too high"),
        pytest.param("http://h:-1", "", id="a negative port"),
        pytest.param("http://h:0", "", id="port 0"),
        pytest.param("h:0", "", id="port 0 without a scheme"),
        pytest.param("http://[::1", "", id="a bracket that isn't closed"),
        pytest.param("http://[x]", "", id="brackets without an address"),
        pytest.param("[::1", "", id="a bracket without a scheme"),
        pytest.param("http://h ost", "", id="a blank in the host"),
        pytest.param("local host", "", id="a blank without a scheme"),
        pytest.param("http://h/a b", "", id="a blank in the path"),
        pytest.param("http://h/\r\nX: 1", "", id="a line break"),
        pytest.param("http://h/\x01", "", id="a control character"),
        pytest.param("http://h/\x7f", "", id="DEL"),
        pytest.param("http://hé", "", id="a host that isn't ASCII"),
        pytest.param("http://h\u2100", "", id="a host that Unicode makes a path of"),
        pytest.param(f"http://u:{SECRET}/x@h", "", id="a slash in a password"),
        pytest.param(f"http://u:{SECRET}@h:port", "", id="a user and a bad port"),
        pytest.param(f"http://h:port/?token={SECRET}&x=1", "", id="a token and a bad port"),
    ],
)
def test_what_is_no_target_is_refused_with_a_hint_where_there_is_one(url: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_target(url, OpenAIChat(Ask()))
    text = str(refused.value)
    assert text.startswith("--url needs a URL like http://localhost:8000, not '")
    assert text.endswith(f"'{hint}")
    assert ("did you mean" in text) == bool(hint)
    assert SECRET not in text


@examples(400)
@given(
    url=st.text(max_size=12)
    | st.lists(
        st.sampled_from(["http", "https", "://", "//", ":", "@", "/", "?", "#", "[", "]", "h", "80", "v1", " ", "%"]),
        max_size=9,
    ).map("".join)
)
def test_a_target_is_found_or_refused(url: str) -> None:
    try:
        found = parse_target(url, OpenAIChat(Ask()))
    except UsageError:
        return
    assert found.url.partition("?")[0].endswith(CHAT)
    assert found.url.startswith(("http://", "https://"))
    assert (found.url + found.models_url).isprintable()
    assert parse_target(found.url, OpenAIChat(Ask())) == Target(found.url, found.models_url, "", "")


# secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/v1", "http://h/v1"),
        (f"http://u:{SECRET}@h/v1", "http://***@h/v1"),
        (f"http://{SECRET}@h", "http://***@h"),
        (f"http://u:{SECRET}@{SECRET}@h", "http://***@h"),
        (f"u:{SECRET}@h:80", "***@h:80"),
        (f"//u:{SECRET}@h", "//***@h"),
        ("http://h/run/@cf/m?x=a@b", "http://h/run/@cf/m?x=a@b"),
        (f"http://h?api_key={SECRET}", "http://h?api_key=***"),
        (f"http://h?a=1&subscription-key={SECRET}&b=2#c", "http://h?a=1&subscription-key=***&b=2#c"),
        (f"http://h?Token={SECRET}", "http://h?Token=***"),
        (f"http://h?X-Amz-Signature={SECRET}&sig={SECRET}", "http://h?X-Amz-Signature=***&sig=***"),
        ("http://h?key=", "http://h?key="),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown


def test_the_values_of_secret_parameters_are_known() -> None:
    assert secret_parameters(f"http://h?a=1&api_key={SECRET}&sig=x#y") == [SECRET, "x"]


def test_the_summary_shows_every_option_and_no_secret() -> None:
    given_options = options(
        url=f"http://u:{SECRET}@h/v1?api_key={SECRET}",
        headers=(
            *(("Authorization", f"Bearer {SECRET}"), ("X-Key", SECRET)),
            *(("X-Env", "env:KEY"), ("X-Mode", "length"), ("X-Copy", f"a {SECRET}")),
        ),
        body=f'{{"api_key": "{SECRET}", "prompt": "{{prompt}}"}}',
        api_key_env="KEY",
        max_errors=MaxErrors(None, 0.05),
        extra_body={"temperature": 0},
    )
    shown = describe(given_options)
    assert SECRET not in json.dumps(shown)
    assert shown["url"] == "http://***@h/v1?api_key=***"
    assert shown["headers"] == ["Authorization: ***", "X-Key: ***", "X-Env: env:KEY", "X-Mode: length", "X-Copy: a ***"]
    assert shown["body"] == '{"api_key": "***", "prompt": "{prompt}"}'
    assert shown["api_key_env"] == "KEY"
    assert set(shown) == set(given_options.__struct_fields__)
    assert describe(options())["url"] is None


# keys

OPENAI = {"OPENAI_API_KEY": SECRET}


@pytest.mark.parametrize(
    ("named", "host", "environ", "key"),
    [
        pytest.param(None, "api.openai.com", OPENAI, SECRET, id="a provider's key goes to its own host"),
        pytest.param(None, "localhost", OPENAI, None, id="but to no other"),
        pytest.param(None, "api.openai.com.evil.com", OPENAI, None, id="nor to one that begins like it"),
        pytest.param(None, "evil-api.openai.com", OPENAI, None, id="nor to one that ends like it"),
        pytest.param(None, "us.api.openai.com", OPENAI, None, id="nor to one below it"),
        pytest.param(None, "api.openai.com", {}, None, id="no key is none"),
        pytest.param(None, "api.openai.com", {"OPENAI_API_KEY": " "}, None, id="a blank key is none"),
        pytest.param("OPENAI_API_KEY", "localhost", OPENAI, SECRET, id="a key that is named goes anywhere"),
        pytest.param("KEY", "api.openai.com", OPENAI | {"KEY": "k"}, "k", id="a key that is named comes first"),
        pytest.param("KEY", "h", {"KEY": f"{SECRET}\n"}, SECRET, id="a key may end with a line break"),
        pytest.param(None, "api.openai.com", {"OPENAI_API_KEY": f"{SECRET}\r\n"}, SECRET, id="a provider's key too"),
    ],
)
def test_which_key_is_sent(named: str | None, host: str, environ: dict[str, str], key: str | None) -> None:
    assert find_key(options(api_key_env=named), host, environ) == key


@pytest.mark.parametrize(
    ("named", "environ", "words"),
    [
        pytest.param("KEY", {}, "--api-key-env: the environment variable KEY is not set", id="it isn't set"),
        pytest.param("KEY", {"KEY": ""}, "the environment variable KEY is empty", id="it is empty"),
        pytest.param("KEY", {"KEY": " \n"}, "the environment variable KEY is empty", id="it is blank"),
        pytest.param("KEY", OPENAI, "variable KEY is not set", id="another one is set"),
        pytest.param("KEY", {"KEY": f"a\r\nX: {SECRET}"}, "not allowed in a header", id="it has two lines"),
        pytest.param(None, {"OPENAI_API_KEY": f"{SECRET}é"}, "not allowed in a header", id="it isn't ASCII"),
    ],
)
def test_a_key_that_cannot_be_sent_is_refused(named: str | None, environ: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        find_key(options(api_key_env=named), "api.openai.com", environ)
    assert SECRET not in str(refused.value)


# the options as a whole


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"procs": 0}, "--procs must be at least 1, not 0"),
        ({"procs": 1025}, "--procs must be at most 1024"),
        ({"streams": 0}, "--streams must be at least 1"),
        ({"streams": -5}, "--streams must be at least 1, not -5"),
        ({"max_tokens": 0}, "--max-tokens must be at least 1"),
        ({"requests": 0}, "--requests must be at least 1"),
        ({"duration_s": 0.0}, "--duration must be longer than 0"),
        ({"warmup_requests": 5, "warmup_s": 1.0}, "--warmup and --warmup-requests can't be used together"),
        ({"warmup_requests": 0}, "--warmup-requests must be at least 1"),
        ({"progress_s": 0.0}, "--progress must be whole seconds, from 1s to 1h"),
        ({"progress_s": 1.5}, "--progress must be whole seconds, from 1s to 1h"),
        ({"interval_s": 0.049}, "--interval must lie between 50ms and 10s"),
        ({"interval_s": 10.1}, "--interval must lie between 50ms and 10s"),
        ({"prompt": "\udcff"}, "--prompt is not UTF-8 text"),
        ({"system": "a\udcff"}, "--system is not UTF-8 text"),
        ({"model": "\ud800"}, "--model is not UTF-8 text"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused_by_the_flags_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        options(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"procs": 1, "streams": 1, "max_tokens": 1},
        {"procs": 1024},
        {"requests": 1, "duration_s": 1.0},
        {"requests": 5, "ramp_up_s": 1.0},
        {"interval_s": 0.05},
        {"interval_s": 10.0},
        {"prompt": "", "system": "", "model": "ü😀"},
    ],
    ids=str,
)
def test_what_is_unusual_is_allowed(changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        assert getattr(options(**changes), name) == value


@pytest.mark.parametrize(
    ("changes", "steady_s", "whole_run"),
    [
        pytest.param({"url": "http://h"}, 60.0, False, id="a minute against a server"),
        pytest.param({}, 60.0, False, id="and against the mock"),
        pytest.param({"duration_s": 5.0}, 5.0, False, id="what was asked for"),
        pytest.param({"requests": 5}, None, True, id="as long as the requests last"),
        pytest.param({"requests": 5, "duration_s": 5.0}, 5.0, True, id="requests, but not for ever"),
        pytest.param({"requests": 5, "warmup_s": 1.0}, None, False, id="requests after a warm-up"),
        pytest.param({"requests": 5, "warmup_requests": 5}, None, False, id="requests after others"),
        pytest.param({"warmup_requests": 5}, 60.0, False, id="a minute after some requests"),
    ],
)
def test_how_long_the_steady_window_is(changes: dict[str, Any], steady_s: float | None, whole_run: bool) -> None:
    assert (options(**changes).steady_s, options(**changes).whole_run) == (steady_s, whole_run)


@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        pytest.param({"procs": 1}, [100], id="100 in total by default"),
        pytest.param({"procs": 2}, [50, 50], id="shared by two"),
        pytest.param({"procs": 3}, [34, 33, 33], id="shared by three"),
        pytest.param({"procs": 100}, [1] * 100, id="one for each"),
        pytest.param({"procs": 150}, [1] * 150, id="at least one for each"),
        pytest.param({"procs": 2, "streams": 100}, [100, 100], id="for each process if said so"),
        pytest.param({"procs": 2, "total": 5}, [3, 2], id="in total if said so"),
        pytest.param({"procs": 3, "total": 2}, [1, 1, 0], id="fewer than processes if said so"),
    ],
)
def test_the_streams_of_each_process(changes: dict[str, Any], shares: list[int]) -> None:
    assert options(**changes).shares == shares


@pytest.mark.parametrize(
    ("total", "cores", "most", "procs"),
    [
        pytest.param(100, 16, 1_000, 16, id="one for each core"),
        pytest.param(100, 256, 1_000, 100, id="none without a stream"),
        pytest.param(3, 16, 1_000, 3, id="as few as asked for"),
        pytest.param(10_000, 4, 1_000, 10, id="as many as the streams need"),
        pytest.param(10**9, 4, 1_000, 1024, id="never more than allowed"),
        pytest.param(None, 256, 1_000, 256, id="streams are said for each process"),
        pytest.param(0, 4, 1_000, 1, id="what is refused later"),
    ],
)
def test_the_processes_of_a_run_that_doesn_t_say(total: int | None, cores: int, most: int, procs: int) -> None:
    assert default_procs(total, cores, most) == procs


def test_streams_are_per_process() -> None:
    for procs, streams in itertools.product((1, 16), (1, 4000)):
        assert options(procs=procs, streams=streams).total_streams == procs * streams


MANY = {"procs": 16, "streams": 4_000, "url": "http://h"}


@pytest.mark.parametrize(
    ("changes", "takes"),
    [
        pytest.param(MANY | {"ramp_up_s": 5.0}, "10.7 s", id="too short"),
        pytest.param(MANY | {"ramp_up_s": 0.0}, "10.7 s", id="none, which was asked for"),
        pytest.param(MANY | {"ramp_up_s": 5.0, "warmup_s": 5.6}, "10.7 s", id="too short with the warm-up"),
        pytest.param(MANY | {"ramp_up_s": 5.0, "warmup_s": 6.0}, "", id="the warm-up takes the rest of it in"),
        pytest.param(MANY | {"ramp_up_s": 11.0}, "", id="long enough"),
        pytest.param(MANY | {"ramp_up_s": 5.0, "requests": 10**6}, "", id="counted in requests"),
        pytest.param(MANY | {"ramp_up_s": 5.0, "requests": 10**6, "warmup_s": 1.0}, "10.7 s", id="after a warm-up"),
        pytest.param(MANY | {"ramp_up_s": 5.0, "warmup_requests": 9}, "", id="nobody knows how long a warm-up"),
        pytest.param({"procs": 1, "streams": 3_000, "url": "http://h"}, "1.5 s", id="a few in one process"),
        pytest.param({"procs": 1, "streams": 1_000, "url": "http://h"}, "", id="fewer"),
        pytest.param({"procs": 1, "streams": 1_000, "url": "https://h"}, "2.5 s", id="as many with TLS"),
        pytest.param({"procs": 1, "streams": 1_000, "url": "HTTPS://h"}, "2.5 s", id="which is TLS in any case"),
    ],
)
def test_a_ramp_that_is_too_short_is_warned_of(changes: dict[str, Any], takes: str) -> None:
    said = warning_of_ramp(options(**changes))
    assert ("--ramp-up" in said, takes in said) == (bool(takes), True)
    assert bool(said) == bool(takes)


@pytest.mark.parametrize("changes", [MANY, {"procs": 1, "streams": 1_000}, {"procs": 3, "streams": 9_999}], ids=str)
def test_the_ramp_that_a_run_has_by_itself_is_long_enough(changes: dict[str, Any]) -> None:
    assert warning_of_ramp(options(**changes, ramp_up_s=default_ramp_s(options(**changes)))) == ""
