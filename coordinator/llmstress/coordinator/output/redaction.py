"""Finds the secrets of a run in every form in which they may appear; redacts messages and environments."""

import base64
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import msgspec

from llmstress.coordinator.config.keys import is_secret, keys_in, looks_like_key, variable_of
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import redact_url, secret_parameters, user_information
from llmstress.coordinator.output import schema
from llmstress.engine.api import APIS
from llmstress.engine.secrets import FINISH_REASONS, SHORTEST, distinctive, forms_of, redact, redact_finish_reason
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
"""Words of the APIs' protocols, besides finish reasons."""

_STATUS = re.compile(r"http_\d{3}")
"""A failure class named after a status."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9-]*) +(\S+)")
"""`Bearer ...`, `Token ...`: a scheme and the credentials."""

_NEEDED = frozenset(
    {
        *("PATH", "HOME", "LANG", "TERM", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    }
)
"""Variables that child processes keep, even if one contains the value of a secret header."""


def secrets_of(options: Options, headers: Iterable[tuple[str, str]], proxy: str = "", target: str = "") -> list[str]:
    """The texts that must not be printed in a run or a probe.

    A header's value is secret if it comes from the environment, if its name says so, or if it has the form of a key.
    Credentials in bodies and URLs are secret as well. A text that must stay readable is never secret: words of the
    protocols and of the summary, the model, the target.

    Args:
        options: options of the run or probe.
        headers: the headers that are sent.
        proxy: URL of the proxy; empty: none.
        target: URL of the endpoint; empty: that of the options.
    """
    from_environment = {name.lower() for name, value in options.headers if variable_of(value) is not None}
    sent = [(name, value) for name, value in headers if name.lower() in from_environment or is_secret(name, value)]
    with_keys = [options.extra_body]
    with contextlib.suppress(ValueError, RecursionError):  # the body may be something other than JSON
        with_keys.append(msgspec.json.decode(options.body or "{}"))
    named = [*sent, *keys_in(with_keys)]
    words, model, shown = _public_words(), options.model or "", redact_url(target or options.url or "")
    return secrets_in(
        named,
        options.url or "",
        proxy,
        is_public=lambda value: (
            value in words or value in model or _is_of_target(value, shown) or _STATUS.fullmatch(value) is not None
        ),
    )


def _is_of_target(value: str, shown: str) -> bool:
    """Whether the value is part of the target's name. A key in the target's path does not count as such."""
    return value in urlsplit(shown).netloc or (value in shown and not looks_like_key(value))


def _public_words() -> set[str]:
    """Words of the protocols, field names of the summary, and names of APIs, metrics and failure classes."""
    kinds = schema.json_schema()["$defs"].values()
    fields = {name for kind in kinds for name in kind.get("properties", ())}
    return {*FINISH_REASONS, *_PROTOCOL, *fields, *LATENCIES, *APIS, *(each.name for each in CLASSES)}


def secrets_in(
    headers: Iterable[tuple[str, str]], *urls: str, is_public: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """The secrets among these headers and URLs, in every form in which a server may repeat them (escaped, encoded).

    Args:
        headers: headers whose whole values, and the credentials in them, are secret.
        urls: URLs whose credentials are secret.
        is_public: whether a value must stay readable.
    """
    values = [part for _, value in headers for part in (value, *_credentials_in(value))]
    for url in urls:
        userinfo = user_information(url)
        password = userinfo.partition(":")[2]
        values += [userinfo, unquote(userinfo), password, unquote(password)]
        for value in secret_parameters(url):
            values += [value, unquote(value)]
    hidden = {value for value in values if len(value) >= SHORTEST and not is_public(value)}
    return sorted({form for value in hidden for form in forms_of(value)})


def _credentials_in(value: str) -> Iterator[str]:
    """The credentials in a header's value: after a scheme, encoded by `Basic`, or the values of cookies."""
    if match := _SCHEME.fullmatch(value):
        yield match[2]
        if match[1].lower() == "basic":
            with contextlib.suppress(ValueError):
                pair = base64.b64decode(match[2], validate=True).decode()
                yield from (pair, pair.partition(":")[2])
    for pair in value.split(";"):
        yield pair.partition("=")[2].strip()


def child_environment(environ: Mapping[str, str], secrets: Iterable[str], variables: Iterable[str]) -> dict[str, str]:
    """The environment of a child process: `environ` without secrets.

    Left out are `variables`, every variable that contains one of their values or one of `secrets`, and proxy variables:
    no child process needs those, and their URLs often contain a password.
    """
    left_out = frozenset(variables)
    hidden = {
        *secrets,
        *(environ[name].strip() for name in left_out if len(environ.get(name, "").strip()) >= SHORTEST),
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


_Message = TypeVar("_Message", bound=Message)


def scrub(message: _Message, secrets: list[str]) -> _Message:
    """`message` with secrets redacted; it may contain text of a server, and is published, recorded and summarized.

    In text of a server all secrets are redacted. In llmstress's own sentences a secret that may be an ordinary word
    stays (`distinctive`).
    """
    if not secrets:
        return message
    match message:
        case Delta():
            message.samples = [_scrub_sample(sample, secrets) for sample in message.samples]
            message.fatal = {action: _scrub_sample(sample, secrets) for action, sample in message.fatal.items()}
            message.signs = [redact(sign, secrets) for sign in message.signs]
            message.fields = [redact(field, secrets) for field in message.fields]
            for part in message.parts.values():
                redacted = {reason: redact_finish_reason(reason, secrets) for reason in part.finish}
                if any(shown != reason for reason, shown in redacted.items()):
                    counts, part.finish = part.finish, {}
                    for reason, n in counts.items():
                        part.finish[redacted[reason]] = part.finish.get(redacted[reason], 0) + n
            return message
        case Notice():
            return msgspec.structs.replace(message, text=redact(message.text, distinctive(secrets)))
        case WorkerChange():
            return msgspec.structs.replace(message, reason=redact(message.reason, distinctive(secrets)))
        case RunFacts():
            return msgspec.structs.replace(message, model=redact(message.model, distinctive(secrets)))
    return message


def _scrub_sample(sample: ErrorSample, secrets: list[str]) -> ErrorSample:
    return msgspec.structs.replace(
        sample,
        text=redact(sample.text, secrets),
        request_id=redact(sample.request_id, secrets),
        headers=redact(sample.headers, secrets),
    )
