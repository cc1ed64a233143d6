"""A plain request and its answer, of any method and any kind."""

from llmstress.engine.api.lenient import not_json, read_json
from llmstress.engine.api.meaning import END_OF_BODY, Meaning
from llmstress.engine.api.template import Template

_GOOD = Meaning(finish=END_OF_BODY, tokenless=True)


class Http(Template):
    """Every 2xx is a good answer; what says that it is JSON has to be."""

    STREAMS = False
    MAY_BE_EMPTY = True

    def read_answer(self, body: bytes, content_type: str = "") -> Meaning:
        """See `Api`."""
        kind = content_type.partition(";")[0].strip().lower()
        if body and (kind == "application/json" or kind.endswith("+json")):
            try:
                read_json(body)
            except (ValueError, RecursionError) as fault:
                return not_json(fault, body)
        return _GOOD
