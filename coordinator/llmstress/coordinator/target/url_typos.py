"""Suggests the intended URL when a server does not know the path. Pure functions."""

import difflib
import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from llmstress.coordinator.target.refusals import lacks_path, read_refusal
from llmstress.engine.api import APIS

_PATHS = ("/chat/completions", "/completions", "/responses", "/embeddings", "/messages")
"""Ends of endpoints that users type by hand."""

_SHORT_FORMS = {"chat": "/chat/completions", "completion": "/completions", "models": "", "health": "", "docs": ""}
"""Last segment of a path -> the intended end; empty: the endpoint of the API in use."""

_OTHER_APIS = ("/api/generate", "/api/chat", "/api/tags", "/generate", "/generate_stream", "/invocations", "/metrics")
"""Endpoints of Ollama, TGI, SGLang and others that a host offers beside OpenAI's API."""

_ALIKE = 0.8
"""Two paths whose similarity (`difflib` ratio of their letters) is at least this are taken for one misspelled."""

_VERSION = re.compile(r"v\d\w*")

_FEWEST_LETTERS = 6
"""Fewest letters of a path that is compared: shorter ones resemble others by chance."""


def suspected(url: str, path: str) -> str:
    """The URL that was probably meant; empty if there is no suggestion.

    Args:
        url: the endpoint whose path the server does not know.
        path: the path that the API appends to a base URL, e.g. `/chat/completions`; empty for an API that uses the URL
            as given.
    """
    split = urlsplit(url)
    asked = split.path.rstrip("/")
    meant = _meant(asked, path)
    if not meant or meant == asked:
        return ""
    return urlunsplit(SplitResult(split.scheme, split.netloc, meant, split.query, ""))


def url_meant(status: int, body: str, url: str, api: str) -> str:
    """The URL that was probably meant, if the answer says that the path does not exist; else empty.

    Args:
        status: status of the answer.
        body: the beginning of its body.
        url: the endpoint.
        api: name of the API.
    """
    if status != 405 and not (status == 404 and lacks_path(read_refusal(body))):
        return ""
    kind = APIS.get(api)
    return suspected(url, kind.PATH if kind is not None else "")


def _meant(asked: str, path: str) -> str:
    given = asked.removesuffix(path) if path else asked
    if path and given == asked:
        return ""  # not a base URL with the API's path, e.g. an endpoint of Azure
    if path and (beside := next((end for end in _OTHER_APIS if given.endswith(end)), "")):
        given = given.removesuffix(beside)
    segments = [segment for segment in given.split("/") if segment]
    if not segments:
        return f"/v1{path}" if path else ""
    for count in (2, 1):
        if len(segments) >= count and (end := _end_meant(segments[-count:], path)):
            return _with_version(segments[:-count]) + end
    if len(segments) >= 2 and _is_version(segments[-1]) and _is_version(segments[-2]):
        return "/".join(["", *segments[:-1]]) + path
    if path and _is_version(segments[-1]):
        return _with_version(segments) + path
    unversioned = path and "deployments" not in segments and not any(map(_VERSION.fullmatch, segments))
    return f"{given}/v1{path}" if unversioned else ""


def _end_meant(segments: list[str], path: str) -> str:
    """The end of an endpoint that these last segments resemble or abbreviate; empty: none."""
    if len(segments) == 1 and path and (end := _SHORT_FORMS.get(segments[0].lower())) is not None:
        return end or path
    letters = _letters("".join(segments))
    if len(letters) < _FEWEST_LETTERS:
        return ""
    ratios = {end: difflib.SequenceMatcher(None, letters, _letters(end)).ratio() for end in _PATHS}
    best = max(ratios, key=lambda end: ratios[end])
    return best if ratios[best] >= _ALIKE else ""


def _with_version(segments: list[str]) -> str:
    """The base URL's path, with `v1` added if it is empty or its version is misspelled."""
    if not segments:
        return "/v1"
    if _is_version(segments[-1]):
        segments = [*segments[:-1], "v1"]
    return "/".join(["", *segments])


def _is_version(segment: str) -> bool:
    """Whether the segment is `v1` or a misspelling of it."""
    return segment.lower() in ("v1", "vl", "1", "v", "api1")


def _letters(text: str) -> str:
    return "".join(sign for sign in text.lower() if sign.isalnum())
