"""Recognition of errors in the JSON of servers, and the readable text of any data of a server.

Gateways and frameworks report errors under status 200 in shapes of their own: `{"detail": ...}`,
`{"code": 30001, "message": ...}`, `{"success": false, ...}`, `{"errors": [...]}`. Names of members are compared without
case, underscores and hyphens: `errorMessage` and `error_message` are the same.
"""

import html
import itertools
import re
from collections.abc import Iterator
from typing import Any

import msgspec

MAX_TEXT = 2000
"""Characters of a text from this module. It is longer than the 200 characters of a sample, because secrets are redacted
before the sample is cut."""

_CODES = ("code", "errorcode", "errcode", "errno", "statuscode", "httpstatuscode", "retcode", "resultcode")
_TYPES = ("type", "errortype", "status", "state")
_NESTED = ("error", "errors", "exception", "fault", "baseresp", "header", "responsemetadata", "response")
"""Members that contain the members of an error in some dialects."""
_MESSAGES = (
    *("message", "msg", "errormessage", "errormessages", "errormsg", "errmsg", "err", "errordescription", "errorinfo"),
    *("faultstring", "statusmsg", "statusmessage", "retmsg", "resultmsg", "detail", "details", "description"),
    *("reason", "title"),
)
_CONTEXT = frozenset(
    (
        *("id", "requestid", "traceid", "logid", "userid", "sessionid", "object", "model", "provider", "created"),
        *("timestamp", "path", "param", "instance", "systemfingerprint"),
    )
)
"""Members that do not describe an error. Many of them differ from answer to answer, which would make samples of the
same error look different."""

_ERROR_MEMBERS = frozenset(
    (
        *("error", "errors", "exception", "fault", "err", "errormessage", "errormessages", "errormsg", "errmsg"),
        *("errordescription", "errorinfo"),
    )
)
"""Members that make an object an error if they have any content."""
_MESSAGE_MEMBERS = ("message", "msg", "detail")
"""Members that make an object an error if no other member says that it is something else."""
_WRAPPER_MEMBERS = ("baseresp", "header", "responsemetadata", "response", "status", "meta", "result", "data", "body")
"""Members that may contain the members of an error, so that these are searched, too."""
_KIND_MEMBERS = ("type", "event", "object", "kind", "status", "state", "level", "action", "step", "stage", "phase")
"""Members whose value says what an object is."""
_PROGRESS_MEMBERS = frozenset(("queue", "queueposition", "position", "progress", "percent", "percentage", "eta"))
_BAD_KIND = re.compile(
    r"error|exception|fail|fatal|invalid|denied|refused|exceeded|unavailable|throttl|timeout|overload|forbidden",
    re.IGNORECASE,
)
_SUCCESS_TEXTS = frozenset(
    (
        *("", "0", "ok", "okay", "success", "successful", "succeeded", "succeed", "true", "none", "null", "completed"),
        *("成功", "请求成功", "操作成功"),
    )
)
"""Codes and messages that report a success, beside the codes 0 and 2xx."""

_UNINFORMATIVE = frozenset(("error", "err", "fail", "failed", "failure", "exception", "false"))
"""Texts without information, because the request's class already says that it failed."""

_DEEPEST = 12
"""Levels of nesting that are searched. Deeper values are written as JSON, or ignored."""
_MOST_STRINGS = 40
"""Strings, and items of a list, that are used of one value."""
_SHORT_JSON = 130
"""Characters up to which an object that is no error is quoted as JSON. Of a longer one only the strings are quoted."""
_MOST_OF_A_STRING = 300
"""Characters of one such string."""

_HIDDEN_ELEMENTS = ("script", "style", "svg")
"""HTML elements whose content is not text for a reader."""


def is_error(value: Any) -> bool:
    """Whether the value of a member `error` means an error. Null, false, "" and {} don't; neither does an object with a
    code of success and, if it has a message, one of success."""
    if isinstance(value, dict):
        named = _by_name(value)
        code, message = _first(named, _CODES), _first(named, _MESSAGES)
        if code is not None and _is_success(code) and (message is None or _is_success(message)):
            return False
        return any(_has_content(each) for each in value.values())
    return _has_content(value) and not (isinstance(value, str) and _is_success(value))


def error_text_in(value: Any) -> str:
    """The text of an error in one of the usual shapes; empty: `value` has none of these shapes.

    `value` is JSON in which the API found none of its own fields.
    """
    if isinstance(value, list):  # Gemini answers with a list that contains the error
        value = value[0] if value else None
    if not isinstance(value, dict) or not _has_error_shape(_by_name(value)):
        return ""
    return text_in(value) or "an error without a message"


def text_in(value: Any) -> str:
    """The readable text of any JSON value.

    For an object with members of an error: its code, type and message, then all other strings. For any other object:
    its JSON, or its strings if the JSON is longer than `_SHORT_JSON`.
    """
    content = _without_empty(value, 0)
    return _clipped(_text(value if content is None else content, 0))


def plain_text_of(data: bytes) -> str:
    """The text of data that is not JSON, in one line. Of a web page it is the text without markup."""
    text = data[: 32 * MAX_TEXT].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        text = _without_markup(text) or text
    return _clipped(" ".join(text.split()))


def _has_error_shape(named: dict[str, Any], *, wrapped: bool = False) -> bool:
    """Whether an object is an error, given its members by normalized name. The first rule that applies decides.

    wrapped: the object is a member of another one, so a message alone doesn't make it an error.
    """
    if any(is_error(named.get(name)) for name in _ERROR_MEMBERS & named.keys()):
        return True
    if any(named.get(name) in (False, "false", "False") for name in ("success", "ok", "succeeded")):
        return True
    # A kind with a slash is a URI, as in RFC 9457, and does not say what the object is.
    kinds = [kind for name in _KIND_MEMBERS if isinstance(kind := named.get(name), str) and kind and "/" not in kind]
    message = _first(named, _MESSAGES)
    if named.get("object") == "error" or any(_is_bad_status(named.get(name)) for name in ("status", "state")):
        return True
    if message is not None and not _is_success(message):
        code = _first(named, _CODES)
        if code is not None:
            return not _is_success(code)
        if any(_BAD_KIND.search(kind) for kind in kinds):
            return True
        if not wrapped and any(_has_content(named.get(name)) for name in _MESSAGE_MEMBERS):
            # not an error if another member says what the object is, or that it reports progress
            return not kinds and not (_PROGRESS_MEMBERS & named.keys()) and "about:" not in str(named.get("type"))
    inside = [each for name in _WRAPPER_MEMBERS if isinstance(each := named.get(name), dict)]
    return any(_has_error_shape(_by_name(each), wrapped=True) for each in inside)


def _is_bad_status(value: Any) -> bool:
    if isinstance(value, str) and not value.isdigit():
        return value.lower() in ("error", "err", "fail", "failed", "failure", "exception", "unavailable")
    number = _number(value)
    return number is not None and 400 <= number < 600


def _is_success(value: Any) -> bool:
    number = _number(value)
    if number is not None:
        return number == 0 or 200 <= number < 300
    return isinstance(value, str) and value.strip().rstrip(".!").lower() in _SUCCESS_TEXTS


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _by_name(value: dict[str, Any]) -> dict[str, Any]:
    """The members of an object by normalized name."""
    return {re.sub(r"[\W_]+", "", name).lower(): each for name, each in value.items()}


def _first(named: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of these members that is not null, false or empty. A code of 0 counts as a value."""
    return next(
        (each for name in names if _has_content(each := named.get(name)) or (each == 0 and each is not False)), None
    )


def _has_content(value: Any, depth: int = 0) -> bool:
    """Whether a value is, or contains, anything other than null, false, 0 and empty strings and objects."""
    if isinstance(value, dict | list) and depth < _DEEPEST:
        return any(_has_content(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value))
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _without_empty(value: Any, depth: int) -> Any:
    """`value` without null and empty members and items, which would take up the limited space of a text. None: nothing
    is left."""
    if depth < _DEEPEST and isinstance(value, dict):
        members = ((name, _without_empty(each, depth + 1)) for name, each in value.items())
        return {name: each for name, each in members if each is not None} or None
    if depth < _DEEPEST and isinstance(value, list):
        items = (_without_empty(each, depth + 1) for each in value)
        return [each for each in items if each is not None] or None
    return None if value in ("", None) else value


def _text(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and any(isinstance(each, dict | str) for each in value) and depth < _DEEPEST:
        return "; ".join(filter(None, (_text(each, depth + 1) for each in value[:_MOST_STRINGS])))
    if not isinstance(value, dict) or depth >= _DEEPEST:
        return msgspec.json.encode(value).decode()
    headline = ": ".join(_headline(value, depth))
    strings = _strings(value)
    if headline and any(name in _by_name(value) for name in (*_MESSAGES, *_NESTED)):
        return "; ".join([headline, *(text for text in strings if text not in headline)])
    whole = msgspec.json.encode(value).decode()
    return whole if len(whole) <= _SHORT_JSON or not strings else "; ".join(strings)


def _headline(value: dict[str, Any], depth: int) -> list[str]:
    """Code, type and message of an error, as far as it has them. A text that is part of another one is left out."""
    named = _by_name(value)
    parts: list[str] = []
    for name in (*_CODES, *_TYPES, *_NESTED, *_MESSAGES):
        each = named.get(name)
        if (
            not _has_content(each)
            or isinstance(each, bool)
            or (isinstance(each, str) and each.lower() in _UNINFORMATIVE)
        ):
            continue
        if isinstance(each, dict | list) and name in (*_CODES, *_TYPES):
            continue
        text = _text(each, depth + 1)
        if text and not any(text in other for other in parts):
            parts = [other for other in parts if other not in text] + [text]
    return parts


def _strings(value: Any) -> list[str]:
    """The different strings in a value that may be readable text. Strings of several words come first."""
    leaves = itertools.islice(_leaves(value, 0), _MOST_STRINGS)
    found = dict.fromkeys(text[:_MOST_OF_A_STRING] for text in leaves if text.lower() not in _UNINFORMATIVE)
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
            if re.sub(r"[\W_]+", "", name).lower() not in _CONTEXT:
                yield from _leaves(each, depth + 1)


def _without_markup(page: str) -> str:
    """The text of a web page."""
    texts: list[str] = []
    hidden_in = ""
    for part in page.split("<"):
        tag, closed, text = part.partition(">")
        name = tag.split(maxsplit=1)[0].lower() if tag.strip() else ""
        if hidden_in:
            if name != f"/{hidden_in}":
                continue
            hidden_in = ""
        elif name in _HIDDEN_ELEMENTS:
            hidden_in = name
            continue
        texts.append(text if closed else "")
    return html.unescape(" ".join(texts)).strip()


def _clipped(text: str) -> str:
    return text[:MAX_TEXT]
