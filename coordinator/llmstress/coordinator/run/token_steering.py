"""Keeps a rate in tokens: requests have more or fewer of them than was thought."""

from collections.abc import Callable, Iterable

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.prompts.prepared import Prepared
from llmstress.coordinator.run import load_plan, token_rate
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.run.steering import Steering
from llmstress.engine.telemetry.broadcast import RunView
from llmstress.engine.telemetry.load_profile import Profile


class TokenRate:
    """Changes the rate of requests as the mean number of their tokens becomes known (`--rate` in tokens)."""

    def __init__(self, options: Options, view: RunView, steering: Steering, notice: Callable[[str, str], None]) -> None:
        """notice: adds a line to the log, by its kind and text."""
        self._options, self._view, self._steering, self._notice = options, view, steering, notice
        self._per_request = 1.0
        """Tokens of a request, as they are in use."""
        self._planned: Profile | None = None

    def begin(self, tasks: Iterable[RunTask], prepared: Prepared) -> Profile | None:
        """The load over time with the tokens that are expected of these tasks; None: the load does not change by
        itself."""
        self._per_request = token_rate.expected_in_mix(
            [(task.weight, task.ask, task.options.prompt_tokens, prepared.file(task.options)) for task in tasks]
        )
        self._planned = load_plan.profile_of(self._options, self._per_request)
        return self._planned

    async def follow(self) -> None:
        """Correct the rate by the answers so far. One that was set by hand stays."""
        planned, asked, view = self._planned, self._options.rate, self._view
        if asked is None or not asked.tokens:
            return
        tokens = token_rate.measured_tokens(view.aggregate, self._per_request)
        corrected = load_plan.profile_of(self._options, tokens)
        if tokens == self._per_request or planned is None or corrected is None or view.profile != planned:
            return
        if note := token_rate.note_of(asked, self._per_request, tokens):
            self._notice("note", note)
        self._per_request = tokens
        self._planned = planned.joined(max(0, self._steering.soon()), corrected)
        await self._steering.set_profile(self._planned)
