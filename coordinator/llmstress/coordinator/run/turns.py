"""Conversations: one kind of request for each turn, so that each turn has statistics of its own. Pure functions."""

import msgspec

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.step_names import turn_names
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.base import Api
from llmstress.engine.control import Conversation, TaskPlan


def steps_of(options: Options, task: TaskPlan) -> tuple[TaskPlan, ...]:
    """The kinds of requests of the conversations whose requests are like those of `task`: one for each turn. The task
    itself if there are no conversations."""
    turns, names = options.turns, turn_names(options.turns)
    if turns is None:
        return (task,)
    conversation = Conversation(
        fewest=turns.fewest,
        most=turns.most,
        keeps_answers=options.answers != "scripted",
        think=options.think,
        seed=options.seed,
    )
    first = msgspec.structs.replace(task, step=names[0], steps=len(names), conversation=conversation)
    return (first, *(msgspec.structs.replace(task, step=name) for name in names[1:]))


def check_turns(options: Options, name: str, api: Api, ask: Ask) -> None:
    """Check that conversations can be had with the API `name`, in which requests ask `ask`.

    Raises:
        UsageError: its answers are no texts, or the history would not be in the body.
    """
    if options.turns is None:
        return
    if not api.STREAMS:
        raise UsageError(f"--turns isn't supported by {name}, whose answers are no texts that go into a conversation")
    bodies = {
        api.body(msgspec.structs.replace(ask, messages=({"role": "user", "content": text},))) for text in ("a", "b")
    }
    if len(bodies) == 1:
        raise UsageError(
            "--turns: the body of a request has no place for the conversation; drop what replaces it "
            "(--body, --extra-body), or write {prompt} into --body"
        )
