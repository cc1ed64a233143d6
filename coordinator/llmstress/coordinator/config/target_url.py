"""Where requests go: what is made of a URL, and how a URL is shown."""

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.parsing import is_address
from llmstress.engine.api.base import Api

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,63}")
_LONGEST_HOST = 254
"""Characters, as DNS has it."""

_SLASHES_MISSING = re.compile(r"(?i)https?:(?!\d)")
_PORT = re.compile(r":?[0-9]{1,5}")

_USER_INFORMATION = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?[^/?#]*@")
_SECRET_PARAMETER = re.compile(
    r"(?i)\b([\w.-]*(?:key|token|secret|passw|pwd|credential|signature|sig|auth(?!ors?(?![a-z])))[\w.-]*=)([^&#\s]+)"
)


class Target(msgspec.Struct, frozen=True):
    """Where requests go."""

    url: str
    """The endpoint, without user information."""
    models_url: str
    """Empty: nobody lists them."""
    userinfo: str
    """`user:password` of the URL as given; empty without."""
    note: str
    """What was made of the URL, if the user may not expect it."""


def parse_target(url: str, api: Api) -> Target:
    """Where requests to `url` go, and where the models are asked for.

    Raises:
        UsageError: it is no http or https URL, or the API can't be spoken there.
    """
    split = split_url(url)
    if split is None:
        raise UsageError(f"--url needs a URL like http://localhost:8000, not {redact_no_url(url)!r}{_meant(url)}")
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
    """A question whether it lacks no more than its begin; empty if it lacks more."""
    if _SLASHES_MISSING.match(text):
        return ""
    place = f"localhost:{text.removeprefix(':')}" if _PORT.fullmatch(text) else text
    whole = "//" in place or split_url(f"http://{place}") is None
    return "" if whole else f"; did you mean http://{redact_no_url(place)}?"


def split_url(url: str) -> SplitResult | None:
    """The parts of an http or https URL; None: it is none that could be sent."""
    try:
        split = urlsplit(url)
        usable = split.scheme in ("http", "https") and _is_host(split.hostname or "") and split.port != 0
    except ValueError:  # a port that is no number or over 65535, brackets that hold no address
        return None
    return split if usable and url.isascii() and url.isprintable() and not {" ", "\\"} & {*url} else None


def _is_host(name: str) -> bool:
    if ":" in name:
        return is_address(name)
    labels = name.removesuffix(".").split(".")
    return len(name) <= _LONGEST_HOST and all(_LABEL.fullmatch(label) for label in labels)


def redact_no_url(text: str) -> str:
    """What was meant as a URL and is none, as it may be shown: its "@" may be anywhere."""
    return redact_url(f"***@{text.rpartition('@')[2]}" if "@" in text else text)


def redact_url(url: str) -> str:
    """`url` without user information and without the values of parameters that look like keys."""
    return _SECRET_PARAMETER.sub(r"\1***", _USER_INFORMATION.sub(r"\1***@", url))


def user_information(url: str) -> str:
    """`user:password` of a URL; empty without."""
    return urlsplit(url).netloc.rpartition("@")[0]


def secret_parameters(url: str) -> list[str]:
    """The values of parameters in `url` that look like keys."""
    return [value for _, value in _SECRET_PARAMETER.findall(url)]
