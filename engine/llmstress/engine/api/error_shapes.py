"""Errors in any of the shapes that servers give them, and the words of whatever a server has said.

Gateways and frameworks report errors under status 200 in shapes of their own: `{"detail": ...}`,
`{"code": 30001, "message": ...}`, `{"success": false, ...}`, `{"errors": [...]}`. Names are compared without case,
underscores and hyphens: `errorMessage` and `error_message` are the same.
"""

import html
import itertools
import re
from collections.abc import Iterator
from typing import Any

import msgspec

MAX_TEXT = 2000
"""Characters of a text made here: secrets are taken out of it before a sample of 200 is cut from it."""

_CODES = ("code", "errorcode", "errcode", "errno", "statuscode", "httpstatuscode", "retcode", "resultcode")
_TYPES = ("type", "errortype", "status", "state")
_NESTED = ("error", "errors", "exception", "fault", "baseresp", "header", "responsemetadata", "response")
"""Members that hold an error's own members in some dialects."""
_PROSE = (
    *("message", "msg", "errormessage", "errormessages", "errormsg", "errmsg", "err", "errordescription", "errorinfo"),
    *("faultstring", "statusmsg", "statusmessage", "retmsg", "resultmsg", "detail", "details", "description"),
    *("reason", "title"),
)
_ASIDE = frozenset(
    (
        *("id", "requestid", "traceid", "logid", "userid", "sessionid", "object", "model", "provider", "created"),
        *("timestamp", "path", "param", "instance", "systemfingerprint"),
    )
)
"""Members that say nothing of the error, and often differ from one answer to the next."""

_STRONG = frozenset(
    (
        *("error", "errors", "exception", "fault", "err", "errormessage", "errormessages", "errormsg", "errmsg"),
        *("errordescription", "errorinfo"),
    )
)
"""Members that make an object an error if they say anything."""
_WEAK = ("message", "msg", "detail")
"""Members that make an object an error if nothing beside them says that it is something else."""
_WRAPPERS = ("baseresp", "header", "responsemetadata", "response", "status", "meta", "result", "data", "body")
"""Members within which the members of an error may lie."""
_KINDS = ("type", "event", "object", "kind", "status", "state", "level", "action", "step", "stage", "phase")
"""Members by whose value an object says what it is."""
_PROGRESS = frozenset(("queue", "queueposition", "position", "progress", "percent", "percentage", "eta"))
_BAD_KIND = re.compile(
    r"error|exception|fail|fatal|invalid|denied|refused|exceeded|unavailable|throttl|timeout|overload|forbidden",
    re.IGNORECASE,
)
_GOOD = frozenset(
    (
        *("", "0", "ok", "okay", "success", "successful", "succeeded", "succeed", "true", "none", "null", "completed"),
        *("成功", "请求成功", "操作成功"),
    )
)
"""What codes and messages of a success say; so does any code that is 0 or 2xx."""

_SAYS_NOTHING = frozenset(("error", "err", "fail", "failed", "failure", "exception", "false"))
"""Words that repeat what the class of the request says already."""

_DEEPEST = 12
_MOST_STRINGS = 40
_SHORT_JSON = 130
_MOST_OF_A_STRING = 300

_UNSEEN = ("script", "style", "svg")
"""Elements whose text nobody reads."""


def is_error(value: Any) -> bool:
    """Whether the value of a member `error` says that there is one; null, false, "" and {} don't, nor does a code
    of 0 with the message "success"."""
    if isinstance(value, dict):
        named = _by_name(value)
        code, message = _first(named, _CODES), _first(named, _PROSE)
        if code is not None and _is_good(code) and (message is None or _is_good(message)):
            return False
        return any(_says(each) for each in value.values())
    return _says(value) and not (isinstance(value, str) and _is_good(value))


def error_text_in(value: Any) -> str:
    """The words of an object without any of the API's own fields, if it is an error in one of the usual shapes; empty:
    it is none."""
    if isinstance(value, list):  # Gemini's way to answer
        value = value[0] if value else None
    if not isinstance(value, dict) or not _complains(_by_name(value)):
        return ""
    return text_in(value) or "an error without words"


def text_in(value: Any) -> str:
    """The words of any JSON value: of an object the code, the type and the message first, then all other strings;
    of what has no such members the JSON, or its strings where it is long."""
    said = _without_nothing(value, 0)
    return _clipped(_words(value if said is None else said, 0))


def plain_text_of(data: bytes) -> str:
    """The words of a text that is no JSON: without the markup of a web page, and without line breaks."""
    text = data[: 32 * MAX_TEXT].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        text = _without_markup(text) or text
    return _clipped(" ".join(text.split()))


def _complains(named: dict[str, Any], *, wrapped: bool = False) -> bool:
    if any(is_error(named.get(name)) for name in _STRONG & named.keys()):
        return True
    if any(named.get(name) in (False, "false", "False") for name in ("success", "ok", "succeeded")):
        return True
    kinds = [kind for name in _KINDS if isinstance(kind := named.get(name), str) and kind and "/" not in kind]
    message = _first(named, _PROSE)
    if named.get("object") == "error" or any(_is_bad_status(named.get(name)) for name in ("status", "state")):
        return True
    if message is not None and not _is_good(message):
        code = _first(named, _CODES)
        if code is not None:
            return not _is_good(code)
        if any(_BAD_KIND.search(kind) for kind in kinds):
            return True
        if not wrapped and any(_says(named.get(name)) for name in _WEAK):
            return not kinds and not (_PROGRESS & named.keys()) and "about:" not in str(named.get("type"))
    inside = [each for name in _WRAPPERS if isinstance(each := named.get(name), dict)]
    return any(_complains(_by_name(each), wrapped=True) for each in inside)


def _is_bad_status(value: Any) -> bool:
    if isinstance(value, str) and not value.isdigit():
        return value.lower() in ("error", "err", "fail", "failed", "failure", "exception", "unavailable")
    number = _number(value)
    return number is not None and 400 <= number < 600


def _is_good(value: Any) -> bool:
    number = _number(value)
    if number is not None:
        return number == 0 or 200 <= number < 300
    return isinstance(value, str) and value.strip().rstrip(".!").lower() in _GOOD


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _by_name(value: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"[\W_]+", "", name).lower(): each for name, each in value.items()}


def _first(named: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these members that isn't null or empty; a code of 0 is one."""
    return next((each for name in names if _says(each := named.get(name)) or (each == 0 and each is not False)), None)


def _says(value: Any, depth: int = 0) -> bool:
    """Whether there is anything in a value but null, false, 0 and what is empty."""
    if isinstance(value, dict | list) and depth < _DEEPEST:
        return any(_says(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value))
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _without_nothing(value: Any, depth: int) -> Any:
    """`value` without the members and items that are null or empty, which would take the place of words; None: there
    is nothing else."""
    if depth < _DEEPEST and isinstance(value, dict):
        members = ((name, _without_nothing(each, depth + 1)) for name, each in value.items())
        return {name: each for name, each in members if each is not None} or None
    if depth < _DEEPEST and isinstance(value, list):
        items = (_without_nothing(each, depth + 1) for each in value)
        return [each for each in items if each is not None] or None
    return None if value in ("", None) else value


def _words(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and any(isinstance(each, dict | str) for each in value) and depth < _DEEPEST:
        return "; ".join(filter(None, (_words(each, depth + 1) for each in value[:_MOST_STRINGS])))
    if not isinstance(value, dict) or depth >= _DEEPEST:
        return msgspec.json.encode(value).decode()
    told = ": ".join(_headline(value, depth))
    strings = _strings(value)
    if told and any(name in _by_name(value) for name in (*_PROSE, *_NESTED)):
        return "; ".join([told, *(text for text in strings if text not in told)])
    whole = msgspec.json.encode(value).decode()
    return whole if len(whole) <= _SHORT_JSON or not strings else "; ".join(strings)


def _headline(value: dict[str, Any], depth: int) -> list[str]:
    """Code, type and message of an error, as far as it has them, none of them twice."""
    named = _by_name(value)
    told: list[str] = []
    for name in (*_CODES, *_TYPES, *_NESTED, *_PROSE):
        each = named.get(name)
        if not _says(each) or isinstance(each, bool) or (isinstance(each, str) and each.lower() in _SAYS_NOTHING):
            continue
        if isinstance(each, dict | list) and name in (*_CODES, *_TYPES):
            continue
        text = _words(each, depth + 1)
        if text and not any(text in other for other in told):
            told = [other for other in told if other not in text] + [text]
    return told


def _strings(value: Any) -> list[str]:
    """The strings in a value that may be words, each once: those of several words first."""
    leaves = itertools.islice(_leaves(value, 0), _MOST_STRINGS)
    found = dict.fromkeys(text[:_MOST_OF_A_STRING] for text in leaves if text.lower() not in _SAYS_NOTHING)
    return sorted(found, key=lambda text: " " not in text)


def _leaves(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, list) and depth < _DEEPEST:
        for each in value[:_MOST_STRINGS]:
            yield from _leaves(each, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        for name, each in value.items():
            if re.sub(r"[\W_]+", "", name).lower() not in _ASIDE:
                yield from _leaves(each, depth + 1)


def _without_markup(page: str) -> str:
    """The text of a web page."""
    kept: list[str] = []
    unseen = ""
    for part in page.split("<"):
        tag, closed, text = part.partition(">")
        name = tag.split(maxsplit=1)[0].lower() if tag.strip() else ""
        if unseen:
            if name != f"/{unseen}":
                continue
            unseen = ""
        elif name in _UNSEEN:
            unseen = name
            continue
        kept.append(text if closed else "")
    return html.unescape(" ".join(kept)).strip()


def _clipped(text: str) -> str:
    return text[:MAX_TEXT]
