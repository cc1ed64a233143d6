"""What must not be shown, in every form that somebody may give it; and an environment without it."""

import base64
import contextlib
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import msgspec

from llmstress.coordinator.config.keys import is_secret, looks_like_key, variable_of
from llmstress.coordinator.config.options import Options, keys_in
from llmstress.coordinator.config.target_url import redact_url, secret_parameters, user_information
from llmstress.coordinator.output import schema
from llmstress.engine.api import APIS
from llmstress.engine.secrets import FINISH_REASONS, blank_out, blank_reason, unmistakable
from llmstress.engine.telemetry.aggregate import Notice
from llmstress.engine.telemetry.broadcast import Message, RunFacts, WorkerChange
from llmstress.engine.telemetry.classes import CLASSES
from llmstress.engine.telemetry.messages import Delta, ErrorSample
from llmstress.engine.telemetry.metrics import LATENCIES

_PROTOCOL = frozenset(
    {
        *("choices", "content", "created", "delta", "finish_reason", "index", "message", "object", "reasoning"),
        *("reasoning_content", "response", "server", "status", "stream", "system", "system_fingerprint", "usage"),
        *("completion_tokens", "prompt_tokens", "total_tokens", "input_tokens", "output_tokens", "assistant"),
        *("chat.completion", "chat.completion.chunk", "text_completion", "message_start", "content_block_delta"),
    }
)
"""Words of protocols, besides finish reasons."""

_STATUS = re.compile(r"http_\d{3}")
"""A class of failure."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]*) +(\S+)")
"""`Bearer ...`, `Token ...`: a scheme and the credentials."""

_SHORTEST = 6
"""Values shorter than this are no secrets, and blanking them out would garble whatever is shown."""

_NEEDED = frozenset(
    {
        *("PATH", "HOME", "LANG", "TERM", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
"""Variables that children keep, even if one happens to contain the value of a header."""


def secrets_of(options: Options, headers: Iterable[tuple[str, str]], proxy: str = "", target: str = "") -> list[str]:
    """What must not be printed of a run or a probe with these options, which sends these headers through this proxy to
    this URL (empty: that of the options).

    Secret are a header's value that comes from the environment, that has a secret's name or a key's looks, and the
    credentials in bodies and URLs. What is public is none: a word of a protocol or of our own, the model, the target.
    """
    from_environment = {name.lower() for name, value in options.headers if variable_of(value) is not None}
    sent = [(name, value) for name, value in headers if name.lower() in from_environment or is_secret(name, value)]
    with_keys = [options.extra_body]
    with contextlib.suppress(ValueError, RecursionError):  # a body need not be JSON
        with_keys.append(msgspec.json.decode(options.body or "{}"))
    named = [*sent, *keys_in(with_keys)]
    words, model, shown = _own_words(), options.model or "", redact_url(target or options.url or "")
    return secrets_in(
        named,
        options.url or "",
        proxy,
        is_public=lambda value: (
            value in words or value in model or _is_of_target(value, shown) or _STATUS.fullmatch(value) is not None
        ),
    )


def _is_of_target(value: str, shown: str) -> bool:
    """Whether the target is not to be named without this; but a key in its path is still a key."""
    return value in urlsplit(shown).netloc or (value in shown and not looks_like_key(value))


def _own_words() -> set[str]:
    """Words of the protocols, and the names of the summary's fields, of APIs, metrics and classes of failure."""
    kinds = schema.json_schema()["$defs"].values()
    fields = {name for kind in kinds for name in kind.get("properties", ())}
    return {*FINISH_REASONS, *_PROTOCOL, *fields, *LATENCIES, *APIS, *(each.name for each in CLASSES)}


def secrets_in(
    headers: Iterable[tuple[str, str]], *urls: str, is_public: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """What must not be printed: header values, the credentials in them, and those in the URLs, but for what is public;
    with what a server may make of them when it repeats them (escaped, encoded)."""
    values = [part for _, value in headers for part in (value, *_credentials_in(value))]
    for url in urls:
        userinfo = user_information(url)
        password = userinfo.partition(":")[2]
        values += [userinfo, unquote(userinfo), password, unquote(password)]
        for value in secret_parameters(url):
            values += [value, unquote(value)]
    hidden = {value for value in values if len(value) >= _SHORTEST and not is_public(value)}
    return sorted({form for value in hidden for form in _forms(value)})


def _credentials_in(value: str) -> Iterator[str]:
    """The secret parts of a header's value: what follows a scheme, what `Basic` encodes, the values of cookies."""
    if match := _SCHEME.fullmatch(value):
        yield match[2]
        if match[1].lower() == "basic":
            with contextlib.suppress(ValueError):
                pair = base64.b64decode(match[2], validate=True).decode()
                yield from (pair, pair.partition(":")[2])
    for pair in value.split(";"):
        yield pair.partition("=")[2].strip()


def _forms(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield html.escape(value)
    escaped = json.dumps(value)[1:-1]
    yield escaped
    yield escaped.replace("/", "\\/")
    data = value.encode("utf-8", "surrogateescape")
    for before in range(3):
        # as a part of something that is encoded as a whole: its first and last signs hold bits of what is beside it
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            inner = encode(bytes(before) + data).decode().rstrip("=")
            yield inner[(0, 2, 3)[before] : -1 if (before + len(data)) % 3 else None]


def child_environment(environ: Mapping[str, str], secrets: Iterable[str], variables: Iterable[str]) -> dict[str, str]:
    """`environ` for a child process: without `variables` and what they hold, wherever that stands; without any of
    `secrets`; and without proxies, whose URLs often hold a password and which no child needs."""
    left_out = frozenset(variables)
    hidden = {
        *secrets,
        *(environ[name].strip() for name in left_out if len(environ.get(name, "").strip()) >= _SHORTEST),
    }
    return {
        name: value
        for name, value in environ.items()
        if name in _NEEDED
        or (
            name not in left_out
            and not name.lower().endswith("_proxy")
            and not any(secret in value for secret in hidden)
        )
    }


_Said = TypeVar("_Said", bound=Message)


def scrub(message: _Said, secrets: list[str]) -> _Said:
    """`message` without secrets: a server's words are in it, and they are published, recorded and summed up.

    A server's words lose every secret; in sentences of ours stays what may be one of our words (`unmistakable`).
    """
    if not secrets:
        return message
    match message:
        case Delta():
            message.samples = [_scrub_sample(sample, secrets) for sample in message.samples]
            message.grave = {meaning: _scrub_sample(sample, secrets) for meaning, sample in message.grave.items()}
            message.signs = [blank_out(sign, secrets) for sign in message.signs]
            message.fields = [blank_out(field, secrets) for field in message.fields]
            for part in message.parts.values():
                blanks = {reason: blank_reason(reason, secrets) for reason in part.finish}
                if any(blank != reason for reason, blank in blanks.items()):
                    told, part.finish = part.finish, {}
                    for reason, n in told.items():
                        part.finish[blanks[reason]] = part.finish.get(blanks[reason], 0) + n
            return message
        case Notice():
            return msgspec.structs.replace(message, text=blank_out(message.text, unmistakable(secrets)))
        case WorkerChange():
            return msgspec.structs.replace(message, reason=blank_out(message.reason, unmistakable(secrets)))
        case RunFacts():
            return msgspec.structs.replace(message, model=blank_out(message.model, unmistakable(secrets)))
    return message


def _scrub_sample(sample: ErrorSample, secrets: list[str]) -> ErrorSample:
    return msgspec.structs.replace(
        sample,
        text=blank_out(sample.text, secrets),
        request_id=blank_out(sample.request_id, secrets),
        headers=blank_out(sample.headers, secrets),
    )
