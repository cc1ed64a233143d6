"""What is a secret, told by its name or by its looks; and values from the environment. Pure functions."""

import re
from collections.abc import Mapping

FROM_ENVIRONMENT = "env:"
"""A header's value that begins so names the variable that holds it."""

_SECRET_NAME = re.compile(
    r"""(?ix) key | token | secret | passw | pwd | credential | cookie | signature
    | auth (?! ors? (?![a-z]) )  # an author is no authority"""
)

_KEY_PREFIX = re.compile(
    r"(?:sk|pk|rk)[-_]|gh[opsu]_|github_pat_|glpat-|gsk_|hf_|nvapi-|r8_|xai-|xox[a-z]-|pplx-|AKIA|ASIA|AIza|eyJ|"
    r"(?i:bearer|basic)\s"
)
"""What the keys of providers, and the credentials in a header, begin with."""

_KEY_IN_TEXT = re.compile(
    r"(?<![\w/.-])(?:(?:sk|pk|rk)[-_]|gh[opsu]_|github_pat_|glpat-|gsk_|nvapi-|xai-|pplx-|AKIA|AIza|eyJ)[\w.+/=-]{6,}"
)

_SHORTEST_KEY = 8
"""Characters of anything that is taken for a key by its looks."""

_LONG, _LONG_CODED = 16, 24
"""Characters from which on letters mixed with digits, and base64, are no name that somebody chose."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def is_secret_name(name: str) -> bool:
    """Whether a header, a field of a body or a parameter of this name holds a secret."""
    return _SECRET_NAME.search(name) is not None


def is_secret(name: str, value: str) -> bool:
    """Whether a header, as it was written, holds a secret: by its name, or by the looks of its value."""
    return is_secret_name(name) or looks_like_key(value)


def looks_like_key(value: str) -> bool:
    """Whether this is a key, whatever the name of its place: by a provider's prefix, or because nobody reads it.

    Names of models and hosts consist of short parts (`Llama-3.1-8B-Instruct`) and are none.
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
    """A message about wrong usage without the keys in it: they may have been typed in a wrong place."""
    return _KEY_IN_TEXT.sub("***", text)


def variable_of(value: str) -> str | None:
    """The variable that a header's value names, as `env:NAME` does; None: the value is meant as it is."""
    return value.removeprefix(FROM_ENVIRONMENT) if value.startswith(FROM_ENVIRONMENT) else None


def from_environment(variable: str, environ: Mapping[str, str]) -> str:
    """The value of a variable, without the white space around it: a key from a file often ends with a line break.

    Raises:
        ValueError: there is no such variable, or it is empty. What may be the key itself is not repeated.
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
    """Whether this is a name as variables have them, and no key."""
    return _VARIABLE.fullmatch(variable) is not None and max(map(len, variable.split("_"))) <= _LONG
