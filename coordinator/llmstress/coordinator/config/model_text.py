"""The parser of `--models`, and the tasks that a list of models makes. Pure functions."""

import math
from collections.abc import Sequence

import msgspec

from llmstress.coordinator.config.tasks import HEAVIEST, MOST_TASKS, OwnOptions

FORM = "lora-a=3,lora-b=1, or lora-a,lora-b for equal shares"


class WeightedModel(msgspec.Struct, frozen=True):
    """A model of a list."""

    name: str
    weight: int = 1

    def __str__(self) -> str:
        return self.name if self.weight == 1 else f"{self.name}={self.weight}"


def parse_models(text: str) -> tuple[WeightedModel, ...]:
    """Models with weights.

    Raises:
        ValueError: the text has another form, a model is named twice, or there are too many.
    """
    models = tuple(_parse(each.strip()) for each in text.split(","))
    names = [model.name for model in models]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"the model {name!r} is named twice")
    if len(names) > MOST_TASKS:
        raise ValueError(f"{len(names):,} models are too many: a run has at most {MOST_TASKS} tasks")
    return models


def _parse(text: str) -> WeightedModel:
    name, _, weight = text.rpartition("=") if "=" in text else (text, "", "1")
    if not name.strip() or not weight.strip().isdecimal() or not 1 <= int(weight) <= HEAVIEST:
        raise ValueError(f"{text!r} is no model with a weight from 1 to {HEAVIEST:,}: write {FORM}")
    return WeightedModel(name.strip(), int(weight))


def by_model(tasks: Sequence[tuple[OwnOptions, Sequence[WeightedModel]]]) -> list[OwnOptions]:
    """The tasks, each one that has a list of models as several: one for each model, which share its weight.

    A run without tasks is one whose name is empty: its tasks have the names of the models.
    """
    sums = [sum(model.weight for model in models) if models else 1 for _, models in tasks]
    common = math.lcm(*sums)
    made: list[OwnOptions] = []
    for (task, models), total in zip(tasks, sums, strict=True):
        weight = task.weight * (common // total)
        if not models:
            made.append(msgspec.structs.replace(task, weight=weight))
        for model in models:
            name = f"{task.name}:{model.name}" if task.name else model.name
            own, group = {**task.own, "models": None, "model": model.name}, task.name or "models"
            made.append(msgspec.structs.replace(task, name=name, weight=weight * model.weight, own=own, group=group))
    divisor = math.gcd(*(task.weight for task in made))
    return [msgspec.structs.replace(task, weight=task.weight // divisor) for task in made]
