"""Request parameters and answers, independent of the API."""

from typing import Any, Literal, NamedTuple

import msgspec

TokenKind = Literal["reasoning", "text", "tool"]
"""What a token belongs to: visible reasoning, text, or the arguments of a tool call."""
FinishReason = Literal["stop", "length", "tool_call", "content_filter"]
"""Why an answer ends."""
ReasoningMode = Literal["shown", "hidden", "none"]
"""What happens to reasoning: it is visible, only counted, or left out."""
Reported = Literal["all", "usage", "nothing"]
"""What an API reports about an answer: finish reason and usage, usage only, or nothing."""

CYCLE = 10
"""Number of distinct words; word number i equals word number i + CYCLE."""
# the leading space marks the beginning of a word, as in tokenizers; a single digit makes all words equally long
_WORDS = tuple(f" tok{i}" for i in range(CYCLE))
_ARGUMENTS = '{"words":"', '"}'
_DOCUMENT_TOKEN = 5
"""Characters of a document per token: the length of a word."""


def words(first: int, count: int) -> str:
    """`count` words from word number `first` on; each is one token."""
    return "".join([_WORDS[i % CYCLE] for i in range(first, first + count)])


def document_tokens(document: str) -> int:
    """Number of tokens of a document."""
    return -(-len(document) // _DOCUMENT_TOKEN)


class RequestParams(msgspec.Struct, frozen=True):
    """The parameters of a request that affect the answer."""

    model: str | None = None
    stream: bool = False
    usage: bool | None = None
    """Whether the client requested usage; None if the API has no such parameter."""
    limit: int | None = None
    """Maximum number of output tokens; None: no limit."""
    prompt_tokens: int = 0
    """Tokens of all prompts."""
    longest_prompt: int = 0
    """Tokens of the longest of several prompts; 0: there can be only one."""
    choices: int = 1
    """Number of answers."""
    reasoning: ReasoningMode = "shown"
    """What happens to reasoning, if there is any."""
    tool: str = "write"
    """Name of the tool that a tool call names."""
    must_call: bool = False
    """Whether the client requires a tool call."""
    tool_document: str = ""
    """Arguments of the call, if they have to match a schema of the tool."""
    json: bool = False
    """Whether the text has to be JSON."""
    document: str = ""
    """The text, if it has to match a schema."""
    format: Any = None
    """The requested format, for APIs that repeat it in the answer."""
    text_only: bool = False
    """Whether the API has neither reasoning nor tools."""
    reports: Reported = "all"
    running_usage: bool = False
    """Whether each event of a stream reports the usage so far, an option of vLLM."""
    summary: bool = False
    """Whether visible reasoning has the form of a summary, as at OpenAI."""
    echoes: tuple[str, ...] = ()
    """The prompt that each choice repeats first; empty: none."""
    dimensions: int = 0
    """Numbers per embedding; 0: not a request for embeddings."""
    base64: bool = False
    """Whether embeddings are base64 instead of lists of numbers."""


class AnswerPart(NamedTuple):
    """Consecutive tokens of one kind."""

    kind: TokenKind
    tokens: int


class AnswerSpec(msgspec.Struct, frozen=True):
    """The content of an answer. Several choices all have the same tokens."""

    id: str
    """24 hexadecimal digits, which the APIs put into their identifiers."""
    created: int
    """Unix time in s."""
    model: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Number of prompt tokens that came from a cache."""
    reasoning_tokens: int = 0
    """Visible reasoning tokens; they precede the text."""
    hidden_reasoning_tokens: int = 0
    """Reasoning tokens that are charged but not sent."""
    tokens: int = 0
    """Tokens of the text or of a tool call's arguments."""
    tool_call: bool = False
    """Whether `tokens` are the arguments of a tool call."""
    json: bool = False
    """Whether the text is a JSON object; arguments always are."""
    document: str = ""
    """The text or the arguments, five characters per token; empty: words."""
    finish_reason: FinishReason = "stop"
    usage: bool = True
    """Whether usage is reported, in APIs where the client decides."""
    reports: Reported = "all"
    choices: int = 1

    @property
    def parts(self) -> tuple[AnswerPart, ...]:
        """The non-empty visible parts, in order."""
        main = AnswerPart("tool" if self.tool_call else "text", self.tokens)
        return tuple([part for part in (AnswerPart("reasoning", self.reasoning_tokens), main) if part.tokens])

    @property
    def shown_tokens(self) -> int:
        """Visible tokens, over all choices."""
        return self.choices * (self.reasoning_tokens + self.tokens)

    @property
    def all_reasoning_tokens(self) -> int:
        """Visible and hidden reasoning tokens, over all choices."""
        return self.choices * (self.reasoning_tokens + self.hidden_reasoning_tokens)

    @property
    def output_tokens(self) -> int:
        """Tokens charged as output, over all choices."""
        return self.choices * (self.reasoning_tokens + self.hidden_reasoning_tokens + self.tokens)

    def text(self, kind: TokenKind, first: int = 0, count: int | None = None) -> str:
        """`count` tokens (None: all) of a part, from its token number `first` on.

        If the part is a JSON object, as arguments always are, the first token includes its beginning and the last
        token its end.
        """
        tokens = self.reasoning_tokens if kind == "reasoning" else self.tokens
        last = tokens if count is None else first + count
        if self.document and kind != "reasoning":
            return self.document[first * _DOCUMENT_TOKEN : last * _DOCUMENT_TOKEN]
        text = words(first, last - first)
        if kind == "reasoning" or not (self.tool_call or self.json):
            return text
        begin, end = _ARGUMENTS
        return (begin if first == 0 else "") + text + (end if last == tokens else "")
