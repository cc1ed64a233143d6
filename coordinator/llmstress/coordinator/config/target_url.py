"""The target's URL: how it is parsed and completed, and how a URL is shown without secrets. Pure functions."""

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.parsing import is_address
from llmstress.engine.api.base import Api

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LONGEST_HOST = 254
"""Most characters of a host name, with the final dot (DNS)."""

_BAD_SCHEME = re.compile(r"(?i)https?:(?!\d)|[^/?#]*:/")
"""Begins like a URL, but not like one of http or https."""
_PORT = re.compile(r":?[0-9]{1,5}")

_USER_INFORMATION = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?[^/?#]*@")
_SECRET_PARAMETER = re.compile(
    r"(?i)\b([\w.-]*(?:key|token|secret|passw|pwd|credential|signature|sig|auth(?!ors?(?![a-z])))[\w.-]*=)([^&#\s]+)"
)


class Target(msgspec.Struct, frozen=True):
    """The URLs that requests go to."""

    url: str
    """The endpoint, without user information."""
    models_url: str
    """The URL that lists the models; empty: there is none."""
    userinfo: str
    """`user:password` of the given URL; empty if it has none."""
    note: str
    """How the URL was completed, if the user may not expect it; else empty."""


def parse_target(url: str, api: Api) -> Target:
    """The target of `url` for `api`.

    Raises:
        UsageError: it is not an http or https URL, or the API does not support its path.
    """
    split = split_url(url)
    if split is None:
        raise UsageError(f"--url needs a URL like http://localhost:8000, not {redact_invalid_url(url)!r}{_meant(url)}")
    try:
        endpoint = api.endpoint(split.path, split.query)
    except ValueError as error:
        raise UsageError(f"--url: {error}") from error
    userinfo, _, host = split.netloc.rpartition("@")

    def build(path: str) -> str:
        return urlunsplit(SplitResult(split.scheme, host, path, endpoint.query, ""))

    models_url = build(endpoint.models_path) if endpoint.models_path else ""
    return Target(build(endpoint.path), models_url, userinfo, endpoint.note)


def _meant(text: str) -> str:
    """`; did you mean ...?` if only the beginning of the URL (`http://`, the host) is missing; else empty."""
    if _BAD_SCHEME.match(text):
        return ""
    place = f"localhost:{text.removeprefix(':')}" if _PORT.fullmatch(text) else text
    whole = "//" in place or split_url(f"http://{place}") is None
    return "" if whole else f"; did you mean http://{redact_invalid_url(place)}?"


def split_url(url: str) -> SplitResult | None:
    """The parts of an http or https URL; None if it is not a valid one."""
    try:
        split = urlsplit(url)
        usable = split.scheme in ("http", "https") and _is_host(split.hostname or "") and split.port != 0
    except ValueError:  # the port is not a number or is over 65535, or there is no address in the brackets
        return None
    return split if usable and url.isascii() and url.isprintable() and not {" ", "\\"} & {*url} else None


def _is_host(name: str) -> bool:
    if ":" in name:
        return is_address(name)
    labels = name.removesuffix(".").split(".")
    return len(name) <= _LONGEST_HOST and all(_LABEL.fullmatch(label) for label in labels)


def redact_invalid_url(text: str) -> str:
    """An invalid URL without its secrets: everything before the last "@" is redacted."""
    return redact_url(f"***@{text.rpartition('@')[2]}" if "@" in text else text)


def redact_url(url: str) -> str:
    """`url` with user information, and the values of parameters whose names say that they are secrets, redacted."""
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFORMATION.sub(r"\1***@", url))


def user_information(url: str) -> str:
    """`user:password` of a URL; empty if it has none."""
    return urlsplit(url).netloc.rpartition("@")[0]


def secret_parameters(url: str) -> list[str]:
    """The values of the parameters in `url` whose names say that they are secrets."""
    return [value for _, value in _SECRET_PARAMETER.findall(url)]
