"""Redaction: replaces secrets in texts before they are shown or written."""

import base64
import html
import json
import re
from collections.abc import Collection, Iterator
from urllib.parse import quote

_PLAIN = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+)*")

_LONGEST_PLAIN = 16
"""A secret of at most this many characters may be equal to a word of llmstress's own sentences."""

SHORTEST = 6
"""Shorter values are not treated as secrets: redacting them would garble the output."""

FINISH_REASONS = frozenset(
    {
        *("stop", "length", "content_filter", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence"),
        *("end_turn", "max_tokens", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"),
        *("max_output_tokens", "completed", "incomplete", "failed", "cancelled", "error", "abort", "none", "other"),
    }
)
"""The APIs' own finish reasons, which are shown even if a secret is one of these words."""

_LEAST = 8
"""Length from which on a beginning of a secret at the end of a text is redacted. A shorter match is probably chance."""


def redact(text: str, secrets: Collection[str]) -> str:
    """`text` with each of `secrets` replaced by `***`.

    Longer secrets come first: a secret that is part of a longer one would leave the rest of that. If the text was cut
    within a secret, the beginning of the secret at the end of the text is replaced as well.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    cut = text.rstrip("'\"")  # a text may have been put in quotes after it was cut
    quotes = text[len(cut) :]
    for secret in secrets:
        at = cut.rfind(secret[:_LEAST], max(0, len(cut) - len(secret)))
        if at >= 0 and secret.startswith(cut[at:]) and len(cut) - at >= _LEAST:
            cut = f"{cut[:at]}***"
    return cut + quotes


def forms_of(value: str) -> Iterator[str]:
    """The forms in which a server may repeat a secret: as it is, escaped, or in base64."""
    yield value
    yield quote(value, safe="")
    yield html.escape(value)
    escaped = json.dumps(value)[1:-1]
    yield escaped
    yield escaped.replace("/", "\\/")
    data = value.encode("utf-8", "surrogateescape")
    for before in range(3):
        # base64 of a text that contains the value: the first and last characters also encode bits of its neighbours
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            inner = encode(bytes(before) + data).decode().rstrip("=")
            yield inner[(0, 2, 3)[before] : -1 if (before + len(data)) % 3 else None]


def redact_finish_reason(reason: str, secrets: Collection[str]) -> str:
    """A finish reason without secrets: a server can send any text as one."""
    return reason if reason in FINISH_REASONS else redact(reason, secrets)


def distinctive(secrets: Collection[str]) -> list[str]:
    """The secrets that are redacted in llmstress's own sentences, too.

    A short secret that consists of plain words is redacted only in the text of servers: elsewhere the same words may be
    llmstress's own, or the name of a model.
    """
    return [each for each in secrets if len(each) > _LONGEST_PLAIN or _PLAIN.fullmatch(each) is None]
