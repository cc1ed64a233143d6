"""Keeps secrets out of whatever is shown."""

import re
from collections.abc import Collection

_PLAIN = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+)*")

_LONGEST_PLAIN = 16
"""Characters of a secret that may as well be a word of ours."""

FINISH_REASONS = frozenset(
    {
        *("stop", "length", "content_filter", "tool_calls", "function_call", "eos", "eos_token", "stop_sequence"),
        *("end_turn", "max_tokens", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"),
        *("max_output_tokens", "completed", "incomplete", "failed", "cancelled", "error", "abort", "none", "other"),
    }
)
"""Those of the APIs: they are shown, whatever a secret is."""

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


def blank_reason(reason: str, secrets: Collection[str]) -> str:
    """A finish reason without secrets: a server may put there what it likes."""
    return reason if reason in FINISH_REASONS else blank_out(reason, secrets)


def unmistakable(secrets: Collection[str]) -> list[str]:
    """Those to be blanked out of our own sentences, too. One that is a plain word is blanked only out of what servers
    say: it may be a word of ours, or the name of a model."""
    return [each for each in secrets if len(each) > _LONGEST_PLAIN or _PLAIN.fullmatch(each) is None]
