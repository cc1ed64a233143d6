"""Conversations: sessions of one user who writes, reads the answer, thinks, and writes again.

Each request has the whole history: what the user wrote, and after each text the server's own answer or a scripted one.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import msgspec

from llmstress.engine.api.ask import Ask
from llmstress.engine.api.context_limit import FULL, says_context_is_full
from llmstress.engine.control import Conversation
from llmstress.engine.load.request_maker import RequestMaker
from llmstress.engine.load.sessions import Over, Session, SessionKind, Step
from llmstress.engine.load.think import think_times
from llmstress.engine.outcome import End
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Drawn, Maker, Synthetic
from llmstress.engine.stream.exchange import Exchange
from llmstress.engine.stream.keeper import Keeper
from llmstress.engine.stream.task import Request, Task

NO_TEXT = "(no text)"
"""Stands in the history for an answer without text: APIs refuse empty messages, and some models two texts of the user
in a row."""

_TURNS = 1 << 20
"""More than any conversation has: each turn of each conversation has a number of its own."""


class Script(ABC):
    """What the users of all conversations write, and what scripted answers say. Everything follows from the number of a
    conversation and that of a turn (from 0), so that every worker reads the same script."""

    @abstractmethod
    def turns(self, number: int, wanted: int) -> int:
        """How many turns the conversation of a number has if `wanted` were drawn for it; at least 1."""

    @abstractmethod
    def turn(self, number: int, turn: int) -> Drawn:
        """What the user writes, as the prompt, and what else the request has of its own."""

    @abstractmethod
    def answer(self, number: int, turn: int) -> str:
        """The scripted answer to it."""


class MadeScript(Script):
    """The user writes the same text again and again, or made ones, each of which is used once in a run."""

    def __init__(self, ask: Ask, synthetic: Synthetic | None, *, seed: int) -> None:
        """ask: has the text and the limit where none are made. synthetic: the texts, of which only the first one of a
        conversation begins with a shared prefix. seed: of scripted answers."""
        self._text = ask.prompt
        self._first = None if synthetic is None else Maker(synthetic)
        self._later = self._first
        if synthetic is not None and synthetic.shared:
            self._later = Maker(msgspec.structs.replace(synthetic, shared=0))
        lengths = (synthetic.output if synthetic is not None else None) or Lengths("fixed", ask.limit)
        salt = 0 if synthetic is None else synthetic.salt
        words = 1.0 if synthetic is None else synthetic.words_per_token
        self._answers = Synthetic(prompt=lengths, seed=seed + 1, salt=salt, words_per_token=words)
        self._maker: Maker | None = None

    def turns(self, number: int, wanted: int) -> int:
        """As many as wanted."""
        return wanted

    def turn(self, number: int, turn: int) -> Drawn:
        """The text, made or not."""
        maker = self._later if turn else self._first
        if maker is None:
            return Drawn(self._text, None)
        drawn = maker.make(number * _TURNS + turn)
        return Drawn(self._text if drawn.prompt is None else drawn.prompt, drawn.output)

    def answer(self, number: int, turn: int) -> str:
        """A made text, as long as an answer that uses up its limit."""
        if self._maker is None:
            self._maker = Maker(self._answers)
        drawn = self._maker.make(number * _TURNS + turn)
        return drawn.prompt or NO_TEXT


class Conversations(SessionKind):
    """Makes conversations. Turn n is a request of task n; turns beyond the number of tasks are of the last one."""

    def __init__(self, plan: Conversation, tasks: Sequence[Task], maker: RequestMaker, script: Script) -> None:
        """maker: makes the requests of all turns."""
        super().__init__(tasks)
        self.plan = plan
        self.maker = maker
        self.script = script

    def begin(self, number: int, user: Hashable) -> "Talk":
        """The conversation of a number."""
        return Talk(self, number)


class Talk(Session):
    """One conversation."""

    __slots__ = ("_keeper", "_kind", "_messages", "_number", "_turn", "_turns", "_waits")

    def __init__(self, kind: Conversations, number: int) -> None:
        plan = kind.plan
        numbers = random.Random(f"{plan.seed}/conversation/{number}")
        self._kind = kind
        self._number = number
        self._turns = kind.script.turns(number, numbers.randint(plan.fewest, plan.most))
        self._waits = think_times(plan.think, numbers)
        self._turn = 0
        self._messages: list[dict[str, Any]] = []
        self._keeper: Keeper | None = None

    def first(self) -> Request:
        """The first text of the user."""
        return self._request()

    def next(self, exchange: Exchange, end: End) -> Step | Over:
        """The next text of the user, after the answer to the last one."""
        if end.failed:
            return Over.OVERFLOWED if says_context_is_full(end.text) else Over.FAILED
        if exchange.finish in FULL:
            return Over.OVERFLOWED
        if self._turn + 1 == self._turns:
            return Over.COMPLETED
        answer = self._answer(exchange)
        if answer is None:
            return Over.FAILED
        self._messages.append({"role": "assistant", "content": answer or NO_TEXT})
        self._turn += 1
        return Step(self._request(), next(self._waits))

    def _request(self) -> Request:
        kind, number, turn = self._kind, self._number, self._turn
        said = kind.script.turn(number, turn)
        self._messages.append({"role": "user", "content": said.prompt or ""})
        drawn = Drawn(None, said.output, messages=tuple(self._messages), body=said.body)
        task = kind.tasks[min(turn, len(kind.tasks) - 1)]
        self._keeper = Keeper() if kind.plan.keeps_answers and turn + 1 < self._turns else None
        return kind.maker.make(task, number * _TURNS + turn, drawn, observer=self._keeper)

    def _answer(self, exchange: Exchange) -> str | None:
        """The text of the answer; None: it is too long to be kept."""
        if self._keeper is None:
            return self._kind.script.answer(self._number, self._turn)
        answer = self._keeper.answer(exchange.task.api)
        return None if answer is None else answer.text
