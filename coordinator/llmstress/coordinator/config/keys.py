"""Recognises secrets by their name or their form, and reads values from the environment. Pure functions."""

import re
from collections.abc import Mapping
from typing import Any

FROM_ENVIRONMENT = "env:"
"""Prefix of a header's value that names the environment variable with the real value."""

_SECRET_NAME = re.compile(
    r"""(?ix) key | token | secret | passw | pwd | credential | cookie | signature
    | auth (?! ors? (?![a-z]) )  # matches authorization and auth, not author"""
)

_KEY_PREFIX = re.compile(
    r"(?:sk|pk|rk)[-_]|gh[opsu]_|github_pat_|glpat-|gsk_|hf_|nvapi-|r8_|xai-|xox[a-z]-|pplx-|AKIA|ASIA|AIza|eyJ|"
    r"(?i:bearer|basic)\s"
)
"""Prefixes of providers' keys, and of the credentials in a header."""

_KEY_IN_TEXT = re.compile(
    r"(?<![\w/.-])(?:(?:sk|pk|rk)[-_]|gh[opsu]_|github_pat_|glpat-|gsk_|nvapi-|xai-|pplx-|AKIA|AIza|eyJ)[\w.+/=-]{6,}"
)

_SHORTEST_KEY = 8
"""Fewest characters of a text that is recognised as a key by its form."""

_LONG, _LONG_CODED = 16, 24
"""From this many characters on, a mix of letters and digits, or base64, is taken for a key and not for a name."""

_IN_FLOW = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]* +)?\{\{[^{}]*\}\}")
"""A variable of a flow, such as `Bearer {{token}}`: its value is not written in the options."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def is_secret_name(name: str) -> bool:
    """Whether a header, a field of a body or a parameter with this name contains a secret."""
    return _SECRET_NAME.search(name) is not None


def is_secret(name: str, value: str) -> bool:
    """Whether a header as given contains a secret: by its name, or by the form of its value."""
    return not _IN_FLOW.fullmatch(value) and (is_secret_name(name) or looks_like_key(value))


def looks_like_key(value: str) -> bool:
    """Whether the value has the form of a key: a provider's prefix, or a long random text.

    Names of models and hosts consist of short parts (`Llama-3.1-8B-Instruct`) and are not taken for keys.
    """
    if len(value) < _SHORTEST_KEY:
        return False
    if _KEY_PREFIX.match(value):
        return True
    parts = re.split(r"[^A-Za-z0-9]+", value)
    if any(len(part) >= _LONG and _mixed(part) for part in parts):
        return True
    coded = re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", value) if len(value) >= _LONG_CODED else None
    return coded is not None and _mixed(value) and value != value.lower() and value != value.upper()


def _mixed(text: str) -> bool:
    return any(sign.isdigit() for sign in text) and any(sign.isalpha() for sign in text)


def without_keys(text: str) -> str:
    """An error message with keys redacted: the user may have typed one in the wrong place."""
    return _KEY_IN_TEXT.sub("***", text)


def variable_of(value: str) -> str | None:
    """The name of the variable in a header's value of the form `env:NAME`; None for any other value."""
    return value.removeprefix(FROM_ENVIRONMENT) if value.startswith(FROM_ENVIRONMENT) else None


def from_environment(variable: str, environ: Mapping[str, str]) -> str:
    """The value of a variable without surrounding white space: a key from a file often ends with a line break.

    Raises:
        ValueError: the variable is not set or is empty. The message does not repeat a name that may be the key itself.
    """
    if variable not in environ:
        if _may_be_shown(variable):
            raise ValueError(f"the environment variable {variable} is not set")
        looks = "looks like a key" if looks_like_key(variable) else "is not the name of a variable and may be a key"
        raise ValueError(
            f"the given text {looks}, so it is not shown; give the name of the variable that holds the key"
        )
    value = environ[variable].strip()
    if not value:
        raise ValueError(f"the environment variable {variable} is empty")
    return value


def _may_be_shown(variable: str) -> bool:
    """Whether the text is a usual name of a variable (capitals, short parts) and so is not a key."""
    return _VARIABLE.fullmatch(variable) is not None and max(map(len, variable.split("_"))) <= _LONG


def names_a_secret(name: str, value: Any) -> bool:
    """Whether a member of a JSON object is a string whose name says that it is a secret."""
    return isinstance(value, str) and is_secret_name(name) and not _IN_FLOW.fullmatch(value)


def keys_in(value: Any) -> list[tuple[str, str]]:
    """Names and values of the strings in a JSON value whose names say that they are secrets."""
    if isinstance(value, list):
        return [found for each in value for found in keys_in(each)]
    if not isinstance(value, dict):
        return []
    return [
        found
        for name, each in value.items()
        for found in ([(name, each)] if names_a_secret(name, each) else keys_in(each))
    ]
