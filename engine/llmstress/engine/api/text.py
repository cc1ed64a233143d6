"""Text as it comes, without any framing: what BentoML's generators and bare streaming responses send."""

from llmstress.engine.api.base import Classify, Framing
from llmstress.engine.api.meaning import END_OF_BODY, NOTHING, TOKEN, Meaning
from llmstress.engine.api.template import Template


def classify(data: bytes, name: bytes = b"") -> Meaning:
    """What one read brought."""
    return TOKEN if data else NOTHING


def read_answer(body: bytes, content_type: str = "") -> Meaning:
    """What a whole text means."""
    return Meaning(classify(body).tokens, END_OF_BODY)


class Text(Template):
    """A body of plain text, which is over when it properly ends.

    Events are reads: how a server cuts its text into chunks, and the network these into reads, is not for us to know.
    """

    FRAMING = Framing.READS
    ENDS_WITH_BODY = True

    classify: Classify = staticmethod(classify)
    read_answer = staticmethod(read_answer)
