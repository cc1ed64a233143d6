"""Conversations whose texts come from a file."""

from llmstress.engine.load.conversations import Script, Turn
from llmstress.engine.prompts.file import FilePrompts


class FileScript(Script):
    """The user writes the turns of a row, one after the other; a scripted answer is that of the row, if it has one."""

    def __init__(self, prompts: FilePrompts, otherwise: Script) -> None:
        """otherwise: has the limits of answers that are drawn, and the scripted answers that rows do not have."""
        self._prompts = prompts
        self._otherwise = otherwise

    def turns(self, number: int, wanted: int) -> int:
        """As many as wanted, but not more than the row has."""
        return min(wanted, len(self._prompts.row(number).turns))

    def turn(self, number: int, turn: int) -> Turn:
        """The text of the row's turn. Only the first one is salted: the later ones follow it."""
        drawn = self._prompts.drawn(self._prompts.row(number).turns[turn], number, first=turn == 0)
        limit = self._otherwise.turn(number, turn).limit
        return Turn(drawn.prompt or "", drawn.output if limit is None else limit)

    def answer(self, number: int, turn: int) -> str:
        """That of the row, or a made one."""
        return self._prompts.row(number).turns[turn].answer or self._otherwise.answer(number, turn)
