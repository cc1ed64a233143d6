"""What every API answers: where it is, what is sent, and what comes back."""

import enum
from collections.abc import Callable
from functools import cached_property
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

    def body(self, ask: Ask) -> bytes:
        """The bytes of the body of a request that asks `ask`; empty: the request has no body.

        `ask` is the one that the API was made from, or another one of the same task. Requests of a task usually differ
        in their prompt alone: for these the rest of the body is encoded once, and the prompt is spliced in.
        """
        alike = ask is self.ask or msgspec.structs.replace(ask, prompt=self.ask.prompt) == self.ask
        return self._template.fill(ask.prompt) if alike else self.encode(ask)

    def encode(self, ask: Ask) -> bytes:
        """The body of a request that asks `ask`, encoded as a whole. An API whose body is not a JSON object overrides
        this method instead of `fields`."""
        return encode_body(self.fields(ask), ask.extra)

    def fields(self, ask: Ask) -> dict[str, Any]:
        """The members of the JSON body of a request that asks `ask`. Members that are None are left out;
        `ask.extra` is merged in last."""
        raise NotImplementedError

    @cached_property
    def _template(self) -> "BodyTemplate":
        return BodyTemplate(self.ask, self.encode)

    # --- what comes back

    classify: Classify = staticmethod(no_event)
    """What one streamed event means."""

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """What the body of an answer that is not streamed means."""
        raise NotImplementedError


class BodyTemplate:
    """The body of requests that differ in their prompt alone.

    The body is encoded once with a marker instead of the prompt. A prompt is a JSON string or a part of one, so its
    escaped characters can take the marker's place: 1.2 µs for a prompt of 1 KB, where encoding the body takes 4.4 µs.
    """

    __slots__ = ("_pieces",)

    def __init__(self, ask: Ask, encode: Callable[[Ask], bytes]) -> None:
        marker, without = "prompt", encode(msgspec.structs.replace(ask, prompt=""))
        while marker.encode() in without:
            marker += "-prompt"
        self._pieces = encode(msgspec.structs.replace(ask, prompt=marker)).split(marker.encode())

    def fill(self, prompt: str) -> bytes:
        """The body with this prompt."""
        return escaped(prompt).join(self._pieces)


def escaped(text: str) -> bytes:
    """`text` as the inside of a JSON string."""
    return msgspec.json.encode(text)[1:-1]


def encode_body(fields: dict[str, Any], extra: dict[str, Any]) -> bytes:
    """The JSON of `fields` with `extra` merged in last; what is None is left out."""
    return msgspec.json.encode({key: value for key, value in (fields | extra).items() if value is not None})
