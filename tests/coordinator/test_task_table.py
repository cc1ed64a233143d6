"""The tasks of a mix in the table at the end: what their shares are shares of."""

import msgspec
from helpers.task_stories import TASKS, mixed, mixed_view

from llmstress.coordinator.output.task_schema import TaskRow
from llmstress.coordinator.output.tasks import task_rows, tasks_table
from llmstress.engine.telemetry.broadcast import RunView, StepFacts
from llmstress.engine.telemetry.by_task import task_figures
from llmstress.engine.telemetry.messages import Phase, key_of


def rows_of(*steps: StepFacts) -> list[TaskRow]:
    """Those of the run of `mixed`, whose three task numbers stand for these steps; none: for its tasks."""
    named = {step.task for step in steps}
    view = mixed_view(tuple(each for each in TASKS if each.name in named) if steps else TASKS)
    view.facts = msgspec.structs.replace(view.facts, steps=steps)
    for _, frame in mixed(10.0):
        assert not isinstance(frame, RunView)
        view.apply(frame)
    for number, begun in ((0, 60), (2, 20)):
        counters = view.aggregate.parts[key_of(Phase.STEADY, number)].counters
        if steps:
            counters.sessions = begun
    return task_rows(task_figures(view), view.facts.objectives)


def test_without_sessions_shares_are_those_of_requests() -> None:
    rows = rows_of()
    assert [(row.unit, row.begun == row.started) for row in rows] == [("requests", True)] * 3
    head, *lines = tasks_table(rows, whole_answers=False)
    assert head.split()[:3] == ["task", "share", "req/s"]
    assert len(lines) == 3


def test_a_share_with_sessions_counts_each_as_one_and_the_table_says_so() -> None:
    turns = [StepFacts(task="chat", step=f"turn {n}", conversation=True) for n in (1, 2)]
    rows = rows_of(*turns, StepFacts(task="embeddings", step="only", flow=True))
    assert [(row.unit, row.begun, row.started_share) for row in rows] == [
        ("conversations", 60, 0.75),
        ("flows", 20, 0.25),
    ]
    assert rows[0].started > 60
    lines = tasks_table(rows, whole_answers=False)
    assert lines[:3] == [
        "share: of the conversations and flows that began",
        "req/s: requests that ended ok, each turn and step included",
        "",
    ]
    assert max(map(len, lines)) <= 80
    assert lines[4].split()[:4] == ["chat", "75", "%", "72.0"]
    mixed_rows = [*rows_of()[:1], *rows]
    assert (
        tasks_table(mixed_rows, whole_answers=False)[0] == "share: of the requests, conversations and flows that began"
    )
