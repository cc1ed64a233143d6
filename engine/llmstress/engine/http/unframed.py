"""Bodies without any framing: what one read brings is an event."""

from llmstress.engine.http.sse import ServerEvent


class Unframed:
    """Stands where `sse.Decoder` does; is fed all that one read brought at once."""

    __slots__ = ()

    between_events = True

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The event that a read is."""
        return [ServerEvent(b"", piece)] if piece else []

    def end(self) -> None:
        """Nothing is ever left over."""
