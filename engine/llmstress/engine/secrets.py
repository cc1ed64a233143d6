"""Keeps secrets out of whatever is shown."""

from collections.abc import Collection

_LEAST = 8
"""Characters of a secret that are told apart from chance."""


def blank_out(text: str, secrets: Collection[str]) -> str:
    """`text` with every one of `secrets` replaced by stars; longer ones first, lest a part of one stay. What was cut
    off within a secret loses the beginning of it, too."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    words = text.rstrip("'\"")  # what was cut off may have been quoted since
    end = text[len(words) :]
    for secret in secrets:
        at = words.rfind(secret[:_LEAST], max(0, len(words) - len(secret)))
        if at >= 0 and secret.startswith(words[at:]) and len(words) - at >= _LEAST:
            words = f"{words[:at]}***"
    return words + end
