"""Recognition of errors that say: the prompt is longer than the model's context. Providers have no common code."""

import re

FULL = frozenset({"model_context_window_exceeded"})
"""Finish reasons of an answer that ended because the context was full."""

_SAYS = re.compile(
    r"context_length_exceeded|exceed_context_size|context_window_exceeded"  # OpenAI and Groq, llama.cpp, LiteLLM
    r"|maximum context length|maximum model length|model'?s context length"  # OpenAI, vLLM, Mistral, DeepSeek, SGLang
    r"|exceeds? (?:the )?(?:available |model'?s )?context (?:size|window|length)"  # llama.cpp, OpenAI's Responses
    r"|(?:prompt|input) (?:is|are) too long"  # Anthropic, Bedrock
    r"|exceeds the maximum number of tokens allowed"  # Gemini
    r"|inputs` tokens \+ `max_new_tokens` must be",  # TGI
    re.IGNORECASE,
)


def says_context_is_full(text: str) -> bool:
    """Whether a server's words, or the body of its error, say that a request was longer than the model's context."""
    return _SAYS.search(text) is not None
