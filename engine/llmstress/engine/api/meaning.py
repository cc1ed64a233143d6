"""What an API module says about one event of a stream, or about a whole answer."""

import msgspec


class Usage(msgspec.Struct, frozen=True):
    """Token counts as the server reports them; None: it doesn't say. `output` contains `reasoning`, `input` contains
    `cached_input`."""

    input: int | None = None
    output: int | None = None
    cached_input: int | None = None
    reasoning: int | None = None

    def updated(self, later: "Usage") -> "Usage":
        """What is known after a later report: counts are cumulative, and what it doesn't say still holds."""
        return Usage(
            self.input if later.input is None else later.input,
            self.output if later.output is None else later.output,
            self.cached_input if later.cached_input is None else later.cached_input,
            self.reasoning if later.reasoning is None else later.reasoning,
        )


class TokenOf(msgspec.Struct, frozen=True):
    """One non-empty generated payload: of which choice, and whether a user sees it (reasoning they don't)."""

    choice: int
    visible: bool
    reasoning: bool
    summarized: bool = False
    """The reasoning may be a summary: how many tokens were generated meanwhile, its text doesn't say."""


class Meaning(msgspec.Struct, frozen=True):
    """The meaning of an event; all defaults mean: legal, and nothing to count.

    The common meanings are the singletons below, so that the hot path can compare by identity.
    """

    tokens: tuple[TokenOf, ...] = ()
    finish: str = ""
    """Finish reason in the API's own words."""
    filtered: bool = False
    """The finish is the provider's moderation."""
    usage: Usage | None = None
    """Cumulative: the last one of a request counts."""
    done: bool = False
    """The protocol's last word."""
    error: str = ""
    """An error in the API's own words."""
    malformed: str = ""
    """Why this isn't even the API's syntax."""
    unknown: bool = False
    """Valid syntax of a shape that the module doesn't know."""
    tokenless: bool = False
    """A whole answer that is good without a token, because its API has none."""
    inputs: int = 0
    """Inputs that a whole answer has dealt with, where a request has several."""
    finished: tuple[int, ...] = (0,)
    """The choices that `finish` ends."""
    foreign: bool = False
    """No message of the API at all, as the pings of gateways: it is counted and ignored, and is no progress."""
    ping: bool = False
    """The API's own sign that the server is still there: it is ignored, and is no progress."""
    field: str = ""
    """Name of the field whose text the tokens are, if the module doesn't know it."""


TOKEN = Meaning(tokens=(TokenOf(choice=0, visible=True, reasoning=False),))
"""Visible output of choice 0 and nothing else."""
REASONING = Meaning(tokens=(TokenOf(choice=0, visible=False, reasoning=True),))
"""Reasoning of choice 0 and nothing else."""
SUMMARIZED = Meaning(tokens=(TokenOf(choice=0, visible=False, reasoning=True, summarized=True),))
"""Reasoning of choice 0, perhaps summarized in fewer words, and nothing else."""
NOTHING = Meaning()
DONE = Meaning(done=True)
UNKNOWN = Meaning(unknown=True)
FOREIGN = Meaning(foreign=True)
PING = Meaning(ping=True)

END_OF_BODY = "end of body"
"""The finish reason of an answer that is over when its body is."""
