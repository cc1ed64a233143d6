"""A plain HTTP request of any method, with an answer of any content."""

from llmstress.engine.api.answers import Answer
from llmstress.engine.api.lenient import not_json, read_json
from llmstress.engine.api.meaning import END_OF_BODY, Meaning
from llmstress.engine.api.template import Template

_GOOD = Meaning(finish=END_OF_BODY, tokenless=True)


class Http(Template):
    """Every 2xx answer is ok, but one whose Content-Type is JSON must be valid JSON."""

    STREAMS = False
    MAY_BE_EMPTY = True

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """Ok, or malformed if the body should be JSON and isn't."""
        kind = content_type.partition(";")[0].strip().lower()
        if body and (kind == "application/json" or kind.endswith("+json")):
            try:
                read_json(body)
            except (ValueError, RecursionError) as fault:
                return not_json(fault, body)
        return _GOOD

    def read_text(self, body: bytes, *, streamed: bool) -> Answer:
        """The body, whatever its Content-Type is."""
        return Answer(body.decode("utf-8", "replace"), finish=END_OF_BODY)
