"""What was asked and what is answered, whatever the API that asks and tells it."""

from typing import Any, Literal, NamedTuple

import msgspec

TokenKind = Literal["reasoning", "text", "tool"]
"""What a token belongs to: reasoning that is shown, the text, or the arguments of a tool call."""
FinishReason = Literal["stop", "length", "tool_call", "content_filter"]
"""Why an answer ends."""
ReasoningMode = Literal["shown", "hidden", "none"]
"""Whether the client wants to see it, only to pay for it, or to do without."""

Reported = Literal["all", "usage", "nothing"]
"""What an API says of an answer: why it ends and what it used, or only the latter, or neither."""

CYCLE = 10
"""Number of different words; word number i is the same as word number i + CYCLE."""
# the leading space is how tokenizers mark the begin of a word; one digit keeps all of them equally long
_WORDS = tuple(f" tok{i}" for i in range(CYCLE))
_ARGUMENTS = '{"words":"', '"}'
_DOCUMENT_TOKEN = 5
"""Characters of a document that are a token: as many as a word has."""


def words(first: int, count: int) -> str:
    """`count` words, one for each token, from word number `first` on."""
    return "".join([_WORDS[i % CYCLE] for i in range(first, first + count)])


def document_tokens(document: str) -> int:
    """The tokens of a document."""
    return -(-len(document) // _DOCUMENT_TOKEN)


class RequestParams(msgspec.Struct, frozen=True):
    """A request, as far as it changes the answer."""

    model: str | None = None
    stream: bool = False
    usage: bool | None = None
    """Whether the client wants the usage told; None where that isn't left to it."""
    limit: int | None = None
    """Most output tokens wanted; None without a limit."""
    prompt_tokens: int = 0
    choices: int = 1
    """Answers wanted at once."""
    reasoning: ReasoningMode = "shown"
    """What becomes of reasoning, if there is any."""
    tool: str = "write"
    """The tool to call, if one is called."""
    must_call: bool = False
    """Whether the client insists on the call of a tool."""
    tool_document: str = ""
    """What the call's arguments are, where the tool has a schema that they have to fulfil."""
    json: bool = False
    """Whether the text is to be JSON."""
    document: str = ""
    """What the text is, where it has to fulfil a schema."""
    format: Any = None
    """The format that was asked for, where the API repeats it."""
    text_only: bool = False
    """Whether the API knows neither reasoning nor tools."""
    reports: Reported = "all"
    running_usage: bool = False
    """Whether each event of a stream shall tell the usage so far, as vLLM can."""
    summary: bool = False
    """Whether reasoning is shown as a summary, as OpenAI does."""
    echoes: tuple[str, ...] = ()
    """What each choice repeats before it begins; empty if none does."""
    dimensions: int = 0
    """Numbers of an embedding."""
    base64: bool = False
    """Whether embeddings are packed."""


class AnswerPart(NamedTuple):
    """Tokens of one kind that come one after the other."""

    kind: TokenKind
    tokens: int


class AnswerSpec(msgspec.Struct, frozen=True):
    """What an answer consists of. With several choices each of them has the same tokens."""

    id: str
    """24 hexadecimal digits, from which the APIs make theirs."""
    created: int
    """Unix time in s."""
    model: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """How many of the prompt's came from a cache."""
    reasoning_tokens: int = 0
    """Shown before the text."""
    hidden_reasoning_tokens: int = 0
    """Thought and charged before everything else, but not shown."""
    tokens: int = 0
    """Of the text, or of a tool call's arguments."""
    tool_call: bool = False
    """Whether `tokens` are the arguments of a tool call."""
    json: bool = False
    """Whether the text is a JSON object, as arguments are."""
    document: str = ""
    """What the text or the arguments consist of, in pieces of five characters; empty: words."""
    finish_reason: FinishReason = "stop"
    usage: bool = True
    """Whether the usage is told, where that is left to the client."""
    reports: Reported = "all"
    choices: int = 1

    @property
    def parts(self) -> tuple[AnswerPart, ...]:
        """What of it is shown, in order; none is empty."""
        main = AnswerPart("tool" if self.tool_call else "text", self.tokens)
        return tuple([part for part in (AnswerPart("reasoning", self.reasoning_tokens), main) if part.tokens])

    @property
    def shown_tokens(self) -> int:
        """Tokens that the client sees, of all choices."""
        return self.choices * (self.reasoning_tokens + self.tokens)

    @property
    def all_reasoning_tokens(self) -> int:
        """Shown or not, of all choices."""
        return self.choices * (self.reasoning_tokens + self.hidden_reasoning_tokens)

    @property
    def output_tokens(self) -> int:
        """Everything that is charged as output, of all choices."""
        return self.choices * (self.reasoning_tokens + self.hidden_reasoning_tokens + self.tokens)

    def text(self, kind: TokenKind, first: int = 0, count: int | None = None) -> str:
        """`count` tokens (all if None) of a part, from its token number `first` on.

        The arguments of a tool call are a JSON object, and so may the text be; its braces stick to the first and to
        the last token.
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
