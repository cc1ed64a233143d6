"""Keeps secrets out of whatever is shown."""

from collections.abc import Iterable


def blank_out(text: str, secrets: Iterable[str]) -> str:
    """`text` with every one of `secrets` replaced by stars; longer ones first, lest a part of one stay."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
