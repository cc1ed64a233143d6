"""A stream of text without framing, as BentoML's generators and plain streaming responses send it."""

from llmstress.engine.api.answers import Answer
from llmstress.engine.api.base import Classify, Framing
from llmstress.engine.api.meaning import END_OF_BODY, NOTHING, TOKEN, Meaning
from llmstress.engine.api.template import Template


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """The meaning of the data of one read: a token if it is not empty."""
    return TOKEN if data else NOTHING


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """The meaning of a complete text."""
    return Meaning(classify(body).tokens, END_OF_BODY)


class Text(Template):
    """A body of plain text. Its proper end is the finish signal.

    The events are reads: how the server splits its text into chunks, and how the network splits these into reads, can't
    be told apart.
    """

    FRAMING = Framing.READS
    ENDS_WITH_BODY = True

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)

    def read_text(self, body: bytes, *, streamed: bool) -> Answer:
        """The body."""
        return Answer(body.decode("utf-8", "replace"), finish=END_OF_BODY)
