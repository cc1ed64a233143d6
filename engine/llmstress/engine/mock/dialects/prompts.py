"""Parsing that several APIs have in common: prompts, tools, formats, limits."""

from typing import Any, NamedTuple, TypeVar

import msgspec

from llmstress.engine.mock.dialects.documents import document

TOKENS_PER_MESSAGE = 4
"""Added to the words of each message, because roles and separators count as tokens in real templates."""
_MOST_PER_PROMPT = 128
_MOST_CHOICES = 2_048


_Body = TypeVar("_Body")


def decode(decoder: "msgspec.json.Decoder[_Body]", body: bytes) -> _Body:
    """Decode the body of a request.

    Raises:
        ValueError: the body is not JSON or not of the expected type.
    """
    try:
        return decoder.decode(body)
    except RecursionError:
        raise ValueError("too deeply nested") from None


Token = str | int
"""A token of a prompt: a word, the mark of a role, or a token id."""


class Message(msgspec.Struct):
    """A message; its `content` is text or a list of parts."""

    content: Any = None
    role: Any = None


class StreamOptions(msgspec.Struct):
    """The members of `stream_options` that affect an answer."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """An option of vLLM: every chunk reports the usage so far."""


def words_in(content: Any) -> int:
    """A plausible number of tokens: the number of words.

    `content` is text, or a list of texts and of parts with a `text`; anything else counts as 0.
    """
    return sum([len(text.split()) for text in _texts(content)])


def tokens_of(messages: list[Message]) -> int:
    """Number of tokens of a conversation."""
    return sum(TOKENS_PER_MESSAGE + words_in(message.content) for message in messages)


def content_tokens(content: Any) -> list[Token]:
    """The tokens that `words_in` counts."""
    return [word for text in _texts(content) for word in text.split()]


def conversation_tokens(messages: list[Message]) -> list[Token]:
    """The tokens that `tokens_of` counts. Those of a conversation begin with those of its earlier turns."""
    tokens: list[Token] = []
    for message in messages:
        # no word contains a line end, so a mark of a role equals no word
        tokens += [f"\n{message.role}"] * TOKENS_PER_MESSAGE
        tokens += content_tokens(message.content)
    return tokens


def prompts_in(given: str | list[Any]) -> list[str | list[int]]:
    """The prompts of a request that may have one or several, each as text or as token ids.

    Raises:
        ValueError: `given` has another form, or is empty.
    """
    if isinstance(given, str):
        return [given]
    if given and all(type(each) is int for each in given):
        return [given]
    if given and (all(isinstance(each, str) for each in given) or all(_are_ids(each) for each in given)):
        return given
    raise ValueError("expected a text, a list of texts, token ids, or a list of token ids")


def tokens_in(prompt: str | list[int]) -> int:
    """Number of tokens of one prompt: its words, or its token ids."""
    return words_in(prompt) if isinstance(prompt, str) else len(prompt)


def prompt_tokens(prompt: str | list[int]) -> list[Token]:
    """The tokens that `tokens_in` counts."""
    return content_tokens(prompt) if isinstance(prompt, str) else [*prompt]


def at_least(least: int, limit: int | None) -> int | None:
    """The limit of tokens, checked.

    Raises:
        ValueError: the limit is below `least`.
    """
    if limit is not None and limit < least:
        raise ValueError(f"the maximum number of tokens has to be at least {least}")
    return limit


def choices(n: int | None, prompts: int = 1) -> int:
    """Number of answers to `prompts` prompts, `n` for each.

    Raises:
        ValueError: `n` is out of range, or there would be too many answers.
    """
    n = 1 if n is None else n
    if not 1 <= n <= _MOST_PER_PROMPT:
        raise ValueError(f"n has to be from 1 to {_MOST_PER_PROMPT}")
    if n * prompts > _MOST_CHOICES:
        raise ValueError(f"more than {_MOST_CHOICES} answers at once")
    return n * prompts


def tool_to_call(tools: list[Any] | None, choice: Any) -> tuple[str, bool]:
    """The name for a tool call, and whether a tool call is required.

    Accepts the forms of all APIs: the name of a tool or of a choice is its member `name`, or that of its `function`.
    The default is `write`.
    """
    named = _name(choice)
    offered = next(filter(None, map(_name, tools or [])), "write")
    return named or offered, bool(named) or _kind(choice) in ("required", "any")


class TextFormat(NamedTuple):
    """The form that a text shall have."""

    json: bool = False
    document: str = ""


def format_of(wanted: Any) -> TextFormat:
    """The meaning of `response_format` and similar members of all APIs. The schema is a member beside the type, or of
    `json_schema`.

    Raises:
        ValueError: the type is unknown, or no small value matches the schema.
    """
    if wanted is None:
        return TextFormat()
    kind = _kind(wanted) if isinstance(wanted, dict) else None
    if kind == "text":
        return TextFormat()
    if kind not in ("json_object", "json_schema"):
        raise ValueError("the format has to be of type text, json_object or json_schema")
    inner = wanted.get("json_schema", wanted)
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if schema is None:
        if kind == "json_schema":
            raise ValueError("a format of type json_schema needs a schema")
        return TextFormat(json=True)
    return TextFormat(json=True, document=document(schema))


def arguments_of(tools: list[Any] | None, name: str) -> str:
    """Arguments that match the schema of the tool, if it is `strict`; empty: any JSON object will do.

    Raises:
        ValueError: no small value matches the schema.
    """
    for tool in tools or []:
        if isinstance(tool, dict) and _name(tool) == name:
            function = tool["function"] if isinstance(tool.get("function"), dict) else tool
            schema = function.get("parameters", function.get("input_schema"))
            return document(schema) if function.get("strict") is True and isinstance(schema, dict) else ""
    return ""


def _texts(content: Any) -> list[str]:
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [text for text in texts if isinstance(text, str)]


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def _name(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    function = value.get("function")
    name = value.get("name", function.get("name") if isinstance(function, dict) else None)
    return name if isinstance(name, str) else ""


def _kind(choice: Any) -> Any:
    return choice.get("type") if isinstance(choice, dict) else choice
