"""The interface of an API: where requests go, what is sent, and what answers mean."""

import enum
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, Protocol

import msgspec

from llmstress.engine.api.answers import Answer, Draft, events_in, is_event_stream
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.meaning import NOTHING, Meaning


class Classify(Protocol):
    """The type of `Api.classify`."""

    def __call__(self, data: bytes, name: bytes = b"") -> Meaning:
        """The meaning of one streamed event; `name` is its `event:` field. Never raises."""


def no_event(data: bytes, name: bytes = b"") -> Meaning:
    """The `classify` of an API that doesn't stream, which is never called."""
    return NOTHING


class Framing(enum.Enum):
    """How the body of a streamed answer is split into events."""

    EVENTS = "server-sent events"
    READS = "no framing: the data of one read is an event"


class Endpoint(msgspec.Struct, frozen=True):
    """Where requests go on a host."""

    path: str
    query: str
    models_path: str = ""
    """Path of the host's list of models; empty: it has none."""
    note: str = ""
    """How the URL was changed, if the user may not expect it; empty otherwise."""


class Api:
    """One wire API for the requests that one `Ask` describes.

    An API is pure: it opens no connections, keeps no state, and never raises, whatever a server sends. A subclass is
    one module of this package with one line in `APIS`, or an entry point in the group `llmstress.api`.
    """

    PATH: ClassVar[str] = ""
    """Appended to a base URL. A URL that ends in it is used unchanged, and selects this API."""
    TAKES: ClassVar[frozenset[str]] = frozenset()
    """The fields of `Ask` that the API supports, beyond model, prompt, stream and extra."""
    NEEDS_MODEL: ClassVar[bool] = True
    """A request must name a model."""
    STREAMS: ClassVar[bool] = True
    """The API can stream. If not, every answer is one body."""
    FRAMING: ClassVar[Framing] = Framing.EVENTS
    EVENT_BEGINS: ClassVar[bytes] = b"data: "
    """The bytes before the data of nearly every token event. The fast path takes only reads that begin like this."""
    ENDS_WITH_BODY: ClassVar[bool] = False
    """The proper end of the body is a finish signal."""
    MAY_BE_EMPTY: ClassVar[bool] = False
    """Every 2xx answer is ok, with or without a body."""
    AUTH: ClassVar[str] = "bearer"
    """How the key is sent, unless the user specifies it: `bearer`, or the name of a header."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.streamed = ask.stream and self.STREAMS
        """The requests ask for a stream."""
        self.ends_with_body = self.ENDS_WITH_BODY
        """The proper end of the body is a finish signal for these requests."""

    @property
    def reads_text(self) -> bool:
        """The API knows what its answers say (`read_text`)."""
        return type(self).add_to is not Api.add_to or type(self).read_text is not Api.read_text

    # --- what is sent

    @classmethod
    def claims(cls, host: str, path: str) -> bool:
        """Whether a URL clearly belongs to this API. `path` has no slash at its end."""
        return bool(cls.PATH) and path.endswith(cls.PATH)

    @property
    def method(self) -> str:
        """The HTTP method of the requests."""
        return "POST"

    def endpoint(self, path: str, query: str) -> Endpoint:
        """Where requests go, given the path and query of the user's URL, which may be a host without a path, a base, or
        the endpoint itself.

        Raises:
            ValueError: the URL can't be used with this API.
        """
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
        """The headers that are specific to this API. `key` is the API key; None: no key is sent."""
        if key is None:
            return []
        auth = self.ask.auth or self.AUTH
        return [("Authorization", f"Bearer {key}")] if auth == "bearer" else [(auth, key)]

    def body(self, ask: Ask) -> bytes:
        """The body of a request that asks `ask`; empty: the request has no body.

        `ask` is the one that the API was created for, or another one of the same task. Requests of a task usually
        differ only in their prompts. For these the rest of the body is encoded once, and the prompt is inserted.
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
    """The meaning of one streamed event."""

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """The meaning of the body of an answer that is not streamed. Never raises."""
        raise NotImplementedError

    def read_text(self, body: bytes, *, streamed: bool) -> Answer:
        """What the body of a complete answer says, without its content coding. Never raises.

        streamed: the request asked for a stream. The body may be a JSON object nonetheless.
        """
        draft = Draft()
        if streamed and is_event_stream(body):
            for name, data in events_in(body):
                self.add_to(draft, data, name)
        else:
            self.add_to(draft, body)
        return draft.answer()

    def add_to(self, draft: Draft, data: bytes, name: bytes = b"") -> None:
        """Add what one event of a stream says, or a whole answer, to the draft of an answer. `name` is the event's
        `event:` field. Never raises. An API that doesn't override this has answers without text."""


class BodyTemplate:
    """The body of requests that differ only in their prompts.

    The body is encoded once with a marker instead of the prompt. A prompt is a JSON string or a part of one, so the
    marker can be replaced by the escaped prompt. That takes 1.2 µs for a prompt of 1 KB; encoding the whole body takes
    4.4 µs.
    """

    __slots__ = ("_pieces",)

    def __init__(self, ask: Ask, encode: Callable[[Ask], bytes]) -> None:
        # The marker must not occur in the rest of the body: it is made longer until it doesn't.
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
    """The JSON of `fields` with `extra` merged in last. Members that are None are left out."""
    return msgspec.json.encode({key: value for key, value in (fields | extra).items() if value is not None})
