"""What the head of an answer says of who sent it or passed it on. Pure functions."""

from llmstress.engine.http.response import Head

_TELLING = ("server", "via", "x-litellm-version", "content-encoding")
"""Headers whose values many answers share. A coding is a sign, too: requests ask for none."""

_UNIQUE = ("cf-ray",)
"""Headers that tell by being there; each answer has another value."""

_ATTEMPTS = ("x-litellm-attempted-retries", "x-litellm-attempted-fallbacks")


def signs_of(head: Head) -> list[str]:
    """Name and value of the headers that tell, `server: nginx/1.26.2` for instance; printable, of any length."""
    headers = head.headers
    signs = [f"{name}: {headers[name]}" for name in _TELLING if headers.get(name, "").lower() not in ("", "identity")]
    signs += [name for name in _UNIQUE if name in headers]
    return [sign if sign.isprintable() else "".join(c if c.isprintable() else "?" for c in sign) for sign in signs]


def tried_again(head: Head) -> bool:
    """Whether a gateway says that the answer is of a later attempt than its first."""
    return any(head.headers.get(name, "").strip("0").isdecimal() for name in _ATTEMPTS)
