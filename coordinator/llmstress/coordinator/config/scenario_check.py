"""Refuses flags that users in Python would not heed: their code says what is asked, and when."""

from collections.abc import Mapping, Sequence

from llmstress.coordinator.config.errors import UsageError
from llmstress.coordinator.config.tasks import OwnOptions
from llmstress.engine.control import Think

_INSTEAD = {
    "prompt": "give the prompt to self.chat(...) in the file",
    "prompt_ids": "give the prompt to self.chat(...) in the file",
    "prompts": "read the file in the scenario, and give the prompts to self.chat(...)",
    "prompt_tokens": "make the prompt in the scenario, and give it to self.chat(...)",
    "output_tokens": "give max_tokens to self.chat(...), or one limit for all with --max-tokens",
    "turns": "use self.conversation() in the file",
    "answers": "use self.conversation() in the file",
    "think": "set wait_time in the class of the users",
    "once": "end the run with --requests or --duration",
    "order": "the scenario chooses its prompts itself",
    "salt": "the scenario makes its prompts itself",
    "shared_prefix_tokens": "the scenario makes its prompts itself",
    "words_per_token": "the scenario makes its prompts itself",
}
"""Field of `Options` that only requests of llmstress's own making have -> what to do instead."""

_NEVER = {
    "models": "give model to self.chat(...) in the file",
    "trace": "the times of a trace need requests that llmstress makes itself",
    "sweep": "measure one load after the other with --stage or with a run for each",
    "search": "measure one load after the other with --stage or with a run for each",
}
"""The same, for what can't be used beside a scenario at all."""

_FLAGS = {"think": "--think-time", "search": "find"}


def check_scenario(tasks: Sequence[OwnOptions], options: object, defaults: Mapping[str, object]) -> None:
    """Refuse what the users of a scenario would not heed. Beside other tasks, the flags about prompts, turns and think
    times are for these.

    Args:
        tasks: those of the run.
        options: the `Options` of the run.
        defaults: field -> default, of all fields.

    Raises:
        UsageError: there is such a flag.
    """
    if not any(task.script for task in tasks):
        return
    alone = all(task.script for task in tasks)
    for field, instead in {**_NEVER, **(_INSTEAD if alone else {})}.items():
        unset = Think() if field == "think" else defaults[field]
        if getattr(options, field) != unset:
            flag = _FLAGS.get(field, f"--{field.replace('_', '-')}")
            raise UsageError(f"{flag} can't be used with --scenario, whose code says what its users do: {instead}")
