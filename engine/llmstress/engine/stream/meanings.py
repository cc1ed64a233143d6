"""What an event of a stream means, where a typed look at it may not be enough."""

from llmstress.engine.api.lenient import is_informative
from llmstress.engine.api.meaning import Meaning
from llmstress.engine.http.body import MAX_SERVER_TEXT
from llmstress.engine.http.sse import ServerEvent
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.observer import Observer


def meanings_of(event: ServerEvent, exchange: Exchange, observer: Observer | None) -> list[Meaning]:
    """The meaning of an event, or those of its lines if it is several messages. The observer is told of each."""
    name, data = event
    classify = exchange.task.api.classify
    meaning = classify(data, name)
    if meaning.tokens and observer is None:
        return [meaning]
    if (meaning.malformed or meaning.foreign) and b"\n" in data:
        # A server that puts one newline between events instead of two: the standard joins such events to one,
        # which is not JSON, although each line is.
        lines = data.split(b"\n")
        meanings = [classify(line) for line in lines]
        if not any(line.malformed for line in meanings) and not all(line.foreign for line in meanings):
            if observer is not None:
                for line, each in zip(lines, meanings, strict=True):
                    observer.event(b"", line, each)
            return meanings
    if meaning.unknown or (meaning.foreign and is_informative(data, name)):
        exchange.stray_data = data[:MAX_SERVER_TEXT]
    if observer is not None:
        observer.event(name, data, meaning)
    return [meaning]
