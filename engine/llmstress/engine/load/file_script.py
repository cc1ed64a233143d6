"""Conversations whose texts come from a file."""

import msgspec

from llmstress.engine.load.conversations import Script
from llmstress.engine.prompts.file import FilePrompts
from llmstress.engine.prompts.synthetic import Drawn


class FileScript(Script):
    """The user writes the turns of a row, one after the other; a scripted answer is that of the row, if it has one."""

    def __init__(self, prompts: FilePrompts, otherwise: Script) -> None:
        """otherwise: has the limits of answers that are drawn, and the scripted answers that rows do not have."""
        self._prompts = prompts
        self._otherwise = otherwise

    def turns(self, number: int, wanted: int) -> int:
        """As many as wanted, but not more than the row has."""
        return min(wanted, len(self._prompts.row(number).turns))

    def turn(self, number: int, turn: int) -> Drawn:
        """The text of the row's turn. Only the first one is salted: the later ones follow it."""
        drawn = self._prompts.drawn(self._prompts.row(number).turns[turn], number, first=turn == 0)
        limit = self._otherwise.turn(number, turn).output
        return drawn if limit is None else msgspec.structs.replace(drawn, output=limit)

    def answer(self, number: int, turn: int) -> str:
        """That of the row, or a made one."""
        return self._prompts.row(number).turns[turn].answer or self._otherwise.answer(number, turn)
