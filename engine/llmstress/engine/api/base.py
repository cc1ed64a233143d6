"""What every API answers: where it is, what is sent, and what comes back."""

import enum
from typing import Any, ClassVar, Protocol

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import NOTHING, Meaning


class Classify(Protocol):
    """Says what one streamed event means; `name` is its `event:` field. Never raises."""

    def __call__(self, data: bytes, name: bytes = b"") -> Meaning:
        """See above."""


def no_event(data: bytes, name: bytes = b"") -> Meaning:
    """For APIs that stream nothing."""
    return NOTHING


class Framing(enum.Enum):
    """How the body of a streamed answer is cut into events."""

    EVENTS = "server-sent events"
    READS = "no framing: what one read brings is an event"


class Endpoint(msgspec.Struct, frozen=True):
    """Where requests go on a host."""

    path: str
    query: str
    models_path: str = ""
    """Where the host lists its models; empty: nowhere."""
    note: str = ""
    """What was made of the URL, if the user may not expect it."""


class Api:
    """One wire API, made from what a user wants asked. Pure: it opens nothing, keeps nothing, and never raises on what
    a server sends.

    A subclass is one module of this package and one line in `APIS`, or an entry point of the group `llmstress.api`.
    """

    PATH: ClassVar[str] = ""
    """Appended to a base URL; a URL that ends in it is taken as it is, and says which API is meant."""
    TAKES: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Ask` that mean something here, beyond model, prompt, stream and extra."""
    NEEDS_MODEL: ClassVar[bool] = True
    """A request has to name a model."""
    STREAMS: ClassVar[bool] = True
    """It can stream; else every answer is one body."""
    FRAMING: ClassVar[Framing] = Framing.EVENTS
    EVENT_BEGINS: ClassVar[bytes] = b"data: "
    """What comes before the data of nearly every token event: the fast path takes such reads only."""
    ENDS_WITH_BODY: ClassVar[bool] = False
    """The proper end of the body is a finish signal."""
    MAY_BE_EMPTY: ClassVar[bool] = False
    """Any 2xx is a good answer, with a body or without."""
    AUTH: ClassVar[str] = "bearer"
    """How the key is sent unless the user says."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.streamed = ask.stream and self.STREAMS
        """A stream is asked for."""
        self.ends_with_body = self.ENDS_WITH_BODY
        """The proper end of the body is a finish signal of what is asked."""

    # --- what is sent

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """Whether a URL, without a slash at its end, is unmistakably one of this API's endpoints."""
        return bool(cls.PATH) and path.endswith(cls.PATH)

    @property
    def method(self) -> str:
        """Of the request."""
        return "POST"

    def endpoint(self, path: str, query: str) -> Endpoint:
        """Where requests go, given the path and query of the user's URL: a host alone, a base, or the endpoint."""
        given = path.rstrip("/")
        note = ""
        if given.endswith(self.PATH):
            base = given.removesuffix(self.PATH)
        else:
            base = given or "/v1"
            if given and not given.endswith("/v1"):
                note = f"{self.PATH} was appended to the path {given}"
        return Endpoint(base + self.PATH, query, base + "/models", note)

    def headers(self, key: str | None) -> list[tuple[str, str]]:
        """The headers that are this API's own; `key` is the API key, if one is to be sent."""
        if key is None:
            return []
        auth = self.ask.auth or self.AUTH
        return [("Authorization", f"Bearer {key}")] if auth == "bearer" else [(auth, key)]

    def body(self) -> bytes:
        """The body of a request; empty: none."""
        raise NotImplementedError

    # --- what comes back

    classify: Classify = staticmethod(no_event)
    """What one streamed event means."""

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """What the body of an answer that is not streamed means."""
        raise NotImplementedError


def encode_body(fields: dict[str, Any], extra: dict[str, Any]) -> bytes:
    """The JSON of `fields` with `extra` merged in last; what is None is left out."""
    return msgspec.json.encode({key: value for key, value in (fields | extra).items() if value is not None})
