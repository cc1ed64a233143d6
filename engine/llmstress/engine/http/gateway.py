"""Which server or gateway sent an answer, according to its head. Pure functions."""

from llmstress.engine.http.response import Head

_SHARED_VALUES = ("server", "via", "x-litellm-version", "content-encoding")
"""Headers that are reported with their values, which many answers share. A content coding is a sign of a gateway,
because requests ask for none."""

_UNIQUE_VALUES = ("cf-ray",)
"""Headers that are reported by name only, because each answer has another value."""

_ATTEMPTS = ("x-litellm-attempted-retries", "x-litellm-attempted-fallbacks")


def signs_of(head: Head) -> list[str]:
    """The headers that identify servers and gateways, for instance `server: nginx/1.26.2`. Printable, of any length."""
    headers = head.headers
    signs = [
        f"{name}: {headers[name]}" for name in _SHARED_VALUES if headers.get(name, "").lower() not in ("", "identity")
    ]
    signs += [name for name in _UNIQUE_VALUES if name in headers]
    return [sign if sign.isprintable() else "".join(c if c.isprintable() else "?" for c in sign) for sign in signs]


def tried_again(head: Head) -> bool:
    """Whether a gateway reports that it retried the request or used a fallback."""
    return any(head.headers.get(name, "").strip("0").isdecimal() for name in _ATTEMPTS)
