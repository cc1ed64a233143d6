"""Reads the body of a refusal: the server's message, and the fields of the request that it complains about.

A refusal may repeat the request (`input` in FastAPI's errors does), so the repeated parts are left out. Pure functions.
"""

import re
from typing import Any

import msgspec

_SENTENCES = ("message", "msg", "detail", "error", "errors", "title", "reason", "description", "error_description")
_NAMES = ("code", "type", "status")
"""Members that name the kind of the error in one word."""

_DEEPEST = 4

_MISSING = re.compile(
    r"missing required (?:parameter|field|argument)s?:? ['\"`]?([\w.]+)|^['\"`]?([\w.]+)['\"`]?: field required"
    r"|must provide an? ['\"`]?([\w]+)['\"`]? parameter"
    r"|['\"`]([\w.]+)['\"`] is (?:a )?required|missing field ['\"`]([\w.]+)",
    re.IGNORECASE,
)
_UNWANTED = re.compile(
    r"(?:unrecognized|unknown|unexpected|unsupported|extra) (?:request )?(?:argument|parameter|field|key)s?"
    r"(?: supplied)?:? ['\"`]?([\w.]+)|^['\"`]?([\w.]+)['\"`]?: extra inputs are not permitted",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"'type': '([\w.]+)', 'loc': \(([^)]*)\), 'msg': '([^']*)'")
"""An entry of FastAPI's error list in Python notation, which some servers use as their message."""
_Entry = tuple[str, tuple[str, ...], str]
"""An entry of FastAPI's error list: type, place, message."""
_NO_PATH = (
    r"((error|http|status)\W*)?404\W*|default backend.{0,9}404|no message available|unexpected endpoint or method.*"
    r"|(404\W*)?((page|path|resource|route|url|file|endpoint|the requested \w+)\W+)?(was |could )?not (be )?found"
    r"(\W+404)?(\W*|\W+(post|get|http|please)\b.*|\W*/.*)"
    r"|.*\b(unknown|invalid|no such|unrecognized|unsupported) (path|url|route|endpoint|request url)\b.*"
    r"|(cannot|can't) (get|post) /.*|no (static )?(resource|route|handler)\b.*"
    r"|(the )?requested (url|resource|path).{0,200}not (be )?found.*|404 page not found.*"
    r"|.*(path|route|url|endpoint)\b.{0,100}(not found|does not exist).*"
)
"""A sentence in lower case that only says that the path does not exist."""
_TAG = re.compile(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>")
_MEMBER = re.compile(r'"(?:message|msg|detail|error|title)"\s*:\s*"((?:[^"\\]|\\.)*)')


class Refusal(msgspec.Struct, frozen=True):
    """The content of a refusal."""

    text: str = ""
    """The server's message without the repeated request; empty: the body is not understood."""
    names: tuple[str, ...] = ()
    """The server's names for the kind of error, e.g. `model_not_found`."""
    missing: tuple[str, ...] = ()
    """Fields of the body that the server requires and didn't get."""
    unwanted: tuple[str, ...] = ()
    """Fields of the body that the server does not accept."""
    missing_elsewhere: tuple[tuple[str, str], ...] = ()
    """Missing parts outside the body: place (`query`, `header`, `cookie`) and name."""
    page: bool = False
    """The body is a web page."""


def read_refusal(body: str) -> Refusal:
    """The content of a refusal; `body` is the beginning of an answer's body, or the text of an error event."""
    body = body.strip()
    if body.startswith("<"):
        return Refusal(" ".join(_TAG.sub(" ", body).split()), page=True)
    entries: list[_Entry] = []
    names: list[str] = []
    try:
        value: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = [match[1] for match in _MEMBER.finditer(body)] if body[:1] in ("{", "[") else [body]
    else:
        found = _sentences(value, entries, names, 0)
    text = "; ".join(dict.fromkeys(filter(None, found)))
    for kind, loc, _ in _ENTRY.findall(text):
        entries.append((kind, tuple(part.strip(" '\"") for part in loc.split(",") if part.strip()), ""))
    if "'loc': (" in text:  # the rest of the text repeats the request
        text = "; ".join(message for _, _, message in _ENTRY.findall(text))
    elsewhere = [
        (loc[0], loc[-1]) for kind, loc, _ in entries if "missing" in kind and len(loc) > 1 and loc[0] != "body"
    ]
    missing = [loc[-1] for kind, loc, _ in entries if "missing" in kind and len(loc) > 1 and loc[0] == "body"]
    unwanted = [loc[-1] for kind, loc, _ in entries if "extra" in kind and len(loc) > 1 and loc[0] == "body"]
    for sentence in text.split("; "):
        missing += _groups(_MISSING, sentence)
        unwanted += _groups(_UNWANTED, sentence)
    return Refusal(text, _once(names), _once(missing), _once(unwanted), tuple(elsewhere))


def lacks_path(refusal: Refusal) -> bool:
    """Whether the refusal only says that the path does not exist."""
    sentences = refusal.text.lower().split("; ")
    return refusal.page or all(not sentence or re.fullmatch(_NO_PATH, sentence) for sentence in sentences)


def _sentences(value: Any, entries: list[_Entry], names: list[str], depth: int) -> list[str]:
    """The sentences in the JSON of an error. Entries of FastAPI's list are added to `entries`, names of the error to
    `names`."""
    if isinstance(value, str):
        return [value.strip()]
    if depth > _DEEPEST or not isinstance(value, dict | list):
        return []
    if isinstance(value, list):
        return [sentence for each in value for sentence in _sentences(each, entries, names, depth + 1)]
    if isinstance(value.get("loc"), list):
        place = tuple(str(part) for part in value["loc"])
        entries.append((str(value.get("type")), place, str(value.get("msg"))))
        return [f"{'.'.join(place[1:] or place)}: {value.get('msg')}"]
    names += [value[name] for name in _NAMES if isinstance(value.get(name), str)]
    return [sentence for name in _SENTENCES for sentence in _sentences(value.get(name), entries, names, depth + 1)]


def _once(found: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))


def _groups(pattern: re.Pattern[str], sentence: str) -> list[str]:
    return [next(filter(None, match.groups())).rpartition(".")[2] for match in pattern.finditer(sentence)]
