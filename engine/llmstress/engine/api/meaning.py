"""The meaning of one event of a stream, or of a whole answer: what the API modules return."""

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the server reports them; None: not reported. `output` contains `reasoning`, `input` contains
    `cached_input`, and `cache_written`, which a provider may bill at a price of its own."""

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    reasoning: int | None = None
    cache_written: int | None = None

    def updated(self, later: "Usage") -> "Usage":
        """The counts after a later report. Counts are cumulative; a count that the later report lacks is kept."""
        return Usage(
            self.input if later.input is None else later.input,
            self.output if later.output is None else later.output,
            self.cached_input if later.cached_input is None else later.cached_input,
            self.reasoning if later.reasoning is None else later.reasoning,
            self.cache_written if later.cache_written is None else later.cache_written,
        )


class TokenOf(msgspec.Struct, frozen=True):
    """One non-empty piece of generated content: its choice, and whether it is visible to a user (reasoning isn't)."""

    choice: int
    visible: bool
    reasoning: bool
    summarized: bool = False
    """The reasoning may be a summary, so its length does not tell how many tokens were generated."""


class Meaning(msgspec.Struct, frozen=True):
    """The meaning of an event. With all defaults the event is valid and there is nothing to count.

    The common meanings are the singletons below, so that the hot path can compare by identity.
    """

    tokens: tuple[TokenOf, ...] = ()
    """One for each choice for which the event has content."""
    finish: str = ""
    """The finish reason as the API names it; empty: none."""
    filtered: bool = False
    """The finish reason is the provider's moderation."""
    usage: Usage | None = None
    """Cumulative: the last usage of a request counts."""
    done: bool = False
    """The protocol's end event."""
    error: str = ""
    """The text of an error that the server reports; empty: no error."""
    malformed: str = ""
    """Why the data violates the API's syntax; empty: it doesn't."""
    unknown: bool = False
    """JSON of a shape that the module doesn't know. It is counted and ignored."""
    tokenless: bool = False
    """A whole answer that is ok without a token, because its API has no tokens."""
    inputs: int = 0
    """Number of inputs that a whole answer has processed, if a request has several."""
    finished: tuple[int, ...] = (0,)
    """The choices that `finish` ends."""
    foreign: bool = False
    """Not a message of the API, for instance a gateway's ping. It is counted and ignored, and it is no progress: the
    idle limit continues to run."""
    ping: bool = False
    """The API's own ping. It is ignored and is no progress."""
    field: str = ""
    """The name of the field that the text of `tokens` comes from, if the module doesn't know this field."""


TOKEN = Meaning(tokens=(TokenOf(choice=0, visible=True, reasoning=False),))
"""A visible token of choice 0 and nothing else."""
REASONING = Meaning(tokens=(TokenOf(choice=0, visible=False, reasoning=True),))
"""A reasoning token of choice 0 and nothing else."""
SUMMARIZED = Meaning(tokens=(TokenOf(choice=0, visible=False, reasoning=True, summarized=True),))
"""Reasoning of choice 0 that may be a summary, and nothing else."""
NOTHING = Meaning()
DONE = Meaning(done=True)
UNKNOWN = Meaning(unknown=True)
FOREIGN = Meaning(foreign=True)
PING = Meaning(ping=True)

END_OF_BODY = "end of body"
"""The finish reason of an answer whose finish signal is the proper end of its body."""
