"""Bodies without framing: the data of one read is one event."""

from llmstress.engine.http.sse import ServerEvent


class Unframed:
    """Has the interface of `sse.Decoder`. `feed` must be called with all data of a read at once."""

    __slots__ = ()

    between_events = True

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The data of one read as one event without a name; no event if it is empty."""
        return [ServerEvent(b"", piece)] if piece else []

    def end(self) -> None:
        """Does nothing: no event is ever incomplete."""
