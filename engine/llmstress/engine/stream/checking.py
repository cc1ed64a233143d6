"""The observer of a request whose answer is checked."""

from llmstress.engine.api.answers import Answer
from llmstress.engine.api.base import Api
from llmstress.engine.checks.judge import TOO_LONG, Ended, Judge
from llmstress.engine.outcome import End
from llmstress.engine.stream.keeper import Keeper
from llmstress.engine.stream.observer import Answered, Observer

_NOTHING = Answer()


class Checked(Observer):
    """Judges by how an answer ended and how long it is."""

    __slots__ = ("_judge",)

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def judged(self, end: End, answered: Answered) -> End:
        """The end, or that of a request whose answer fails a check."""
        return _judged(self._judge, end, answered, _NOTHING)


class CheckedText(Keeper):
    """Judges by what an answer says, too, and keeps it until its end."""

    __slots__ = ("_api", "_judge")

    def __init__(self, judge: Judge, api: Api) -> None:
        super().__init__()
        self._judge = judge
        self._api = api

    def judged(self, end: End, answered: Answered) -> End:
        """The end, or that of a request whose answer fails a check or is too long to be checked."""
        answer = self.answer(self._api)
        if answer is None:
            return End("validation", f"{TOO_LONG}: the answer has more than {self.most:,} bytes, which are not kept")
        return _judged(self._judge, end, answered, answer)


def _judged(judge: Judge, end: End, answered: Answered, answer: Answer) -> End:
    fault = judge.fault(Ended(answer, answered.finish, answered.output[0]))
    return End("validation", fault) if fault else end
