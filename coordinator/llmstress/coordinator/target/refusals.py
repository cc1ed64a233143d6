"""What the words of a refusal say: the server's own sentence, and the fields of the request that it complains of.

A refusal may repeat the request (FastAPI's `input` does), so only what the server itself says is looked at. Pure
functions.
"""

import re
from typing import Any

import msgspec

_SENTENCES = ("message", "msg", "detail", "error", "errors", "title", "reason", "description", "error_description")
_NAMES = ("code", "type", "status")
"""Members that say what kind of error it is, in one word."""

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
"""An entry of FastAPI's list, as Python writes it: some servers make their message of that."""
_Entry = tuple[str, tuple[str, ...], str]
"""Of such a list: type, place, message."""
_NO_PATH = (
    r"((error|http|status)\W*)?404\W*|default backend.{0,9}404|no message available|unexpected endpoint or method.*"
    r"|(404\W*)?((page|path|resource|route|url|file|endpoint|the requested \w+)\W+)?(was |could )?not (be )?found"
    r"(\W+404)?(\W*|\W+(post|get|http|please)\b.*|\W*/.*)"
    r"|.*\b(unknown|invalid|no such|unrecognized|unsupported) (path|url|route|endpoint|request url)\b.*"
    r"|(cannot|can't) (get|post) /.*|no (static )?(resource|route|handler)\b.*"
    r"|(the )?requested (url|resource|path).{0,200}not (be )?found.*|404 page not found.*"
    r"|.*(path|route|url|endpoint)\b.{0,100}(not found|does not exist).*"
)
"""A sentence, in lower case, that says no more than that the path is wrong."""
_TAG = re.compile(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>")
_MEMBER = re.compile(r'"(?:message|msg|detail|error|title)"\s*:\s*"((?:[^"\\]|\\.)*)')


class Refusal(msgspec.Struct, frozen=True):
    """A refusal, read."""

    text: str = ""
    """What the server says, without what it repeats of the request; empty: nothing that is understood."""
    names: tuple[str, ...] = ()
    """Its names for the kind of error, `model_not_found` for instance."""
    missing: tuple[str, ...] = ()
    """Fields of the body that it misses."""
    unwanted: tuple[str, ...] = ()
    """Fields of the body that it doesn't take."""
    missing_elsewhere: tuple[tuple[str, str], ...] = ()
    """What it misses in another place of the request: the place (`query`, `header`, `cookie`) and the name."""
    page: bool = False
    """It is a web page."""


def read_refusal(words: str) -> Refusal:
    """What `words`, the beginning of a body or of an error's text, say."""
    words = words.strip()
    if words.startswith("<"):
        return Refusal(" ".join(_TAG.sub(" ", words).split()), page=True)
    entries: list[_Entry] = []
    names: list[str] = []
    try:
        value: Any = msgspec.json.decode(words)
    except (ValueError, RecursionError):
        found = [match[1] for match in _MEMBER.finditer(words)] if words[:1] in ("{", "[") else [words]
    else:
        found = _sentences(value, entries, names, 0)
    text = "; ".join(dict.fromkeys(filter(None, found)))
    for kind, loc, _ in _ENTRY.findall(text):
        entries.append((kind, tuple(part.strip(" '\"") for part in loc.split(",") if part.strip()), ""))
    if "'loc': (" in text:  # the rest repeats the request
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
    """Whether its words say no more than that there is no such path."""
    said = refusal.text.lower().split("; ")
    return refusal.page or all(not sentence or re.fullmatch(_NO_PATH, sentence) for sentence in said)


def _sentences(value: Any, entries: list[_Entry], names: list[str], depth: int) -> list[str]:
    """The sentences in an error's JSON; entries of FastAPI's list and names of the error are added to the lists."""
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
