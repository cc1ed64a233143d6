"""The observer of a step of a flow: takes from its answer what later steps need."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from llmstress.engine.api.base import Api
from llmstress.engine.checks.time_limit import TookTooLong, time_limit
from llmstress.engine.flows.extraction import Extraction, extract
from llmstress.engine.http.response import Head
from llmstress.engine.outcome import End
from llmstress.engine.stream.keeper import MOST_BYTES, Keeper
from llmstress.engine.stream.observer import Answered

LONGEST_S = 0.05
"""Time that the extractions of an answer may take, in seconds: nothing else is read meanwhile."""

_NONE: Mapping[str, str] = MappingProxyType({})


class Extractor(Keeper):
    """Keeps the answer if it is needed, and fails a request whose answer lacks a value."""

    __slots__ = ("_api", "_extractions", "_headers", "_keeps_answer", "_shows", "_step", "values")

    def __init__(
        self, step: str, extractions: Sequence[Extraction], api: Api, *, keeps_answer: bool, shows: bool
    ) -> None:
        """step: its name. extractions: what is taken. keeps_answer: the text is wanted as a whole, too. shows: a
        failure may show the answer; that to a login may hold a secret."""
        super().__init__(MOST_BYTES if keeps_answer or any(each.kind != "header" for each in extractions) else 0)
        self._step = step
        self._extractions = extractions
        self._api = api
        self._keeps_answer = keeps_answer
        self._shows = shows
        self._headers = _NONE
        self.values: dict[str, str] | None = None
        """Variable -> value, once the answer has ended well; `STEP.answer` is the text. None: something is missing."""

    def head(self, head: Head, stamp: int) -> None:
        """Keep the headers."""
        self._headers = head.headers

    def judged(self, end: End, answered: Answered) -> End:
        """The end, or that of a request whose answer lacks a value."""
        text = ""
        if self.most:
            answer = self.answer(self._api)
            if answer is None:
                return self._fault(f"the answer has more than {self.most:,} bytes, which are not kept")
            text = answer.text
        try:
            with time_limit(LONGEST_S):
                values, missing = extract(self._extractions, text, self._headers)
        except TookTooLong:
            return self._fault(f"the extractions took more than {LONGEST_S * 1000:g} ms")
        if missing is not None:
            said = f"; the answer says {text}" if self._shows and missing.kind != "header" else ""
            return self._fault(f"{missing.name}: nothing at {missing}{said}")
        if self._keeps_answer:
            values[f"{self._step}.answer"] = text
        self.values = values
        return end

    def _fault(self, what: str) -> End:
        return End("validation", f"step {self._step}: {what}"[:1000])
