"""What a scenario file imports: `from llmstress.scenario import User, between, task`."""

from llmstress.engine.scenario.answer import Answer, RequestFailed
from llmstress.engine.scenario.asking import Asking, Piece
from llmstress.engine.scenario.talk import Conversation
from llmstress.engine.scenario.tasks import task
from llmstress.engine.scenario.user import User
from llmstress.engine.scenario.waits import between, constant, exponential, pacing

__all__ = [
    "Answer",
    "Asking",
    "Conversation",
    "Piece",
    "RequestFailed",
    "User",
    "between",
    "constant",
    "exponential",
    "pacing",
    "task",
]
