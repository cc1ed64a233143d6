"""Options as a command makes them, and the plans that follow from them."""

from typing import Any

from llmstress.coordinator.commands.defaults import options_of
from llmstress.coordinator.config.options import Options
from llmstress.coordinator.config.target_url import parse_target
from llmstress.coordinator.config.tasks import OwnOptions
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED, Prepared
from llmstress.coordinator.run.load_plan import profile_of, windows_of
from llmstress.coordinator.run.plans import make_plans
from llmstress.coordinator.run.run_tasks import RunTask
from llmstress.coordinator.target.resolved_target import ResolvedTarget
from llmstress.engine.api.ask import Ask
from llmstress.engine.api.openai_chat import OpenAIChat
from llmstress.engine.control import Network, Plan


def options(**changes: Any) -> Options:
    """The options of a run, with the defaults of a machine with 4 cores."""
    given: dict[str, Any] = {
        **dict.fromkeys(("procs", "streams", "total", "rate", "ramp_up_s", "duration_s", "requests"), None),
        **{"warmup_requests": None, "warmup_s": 0.0, "url": "http://h", "prompt": "Hi", "stages": (), "trace": None},
        **{"sweep": None, "find": None},
    }
    known = Options.__struct_fields__
    return options_of({name: value for name, value in (given | changes).items() if name in known}, 4, 20_000)


def plans_of(chosen: Options, prepared: Prepared = NOTHING_PREPARED) -> list[Plan]:
    api = OpenAIChat(Ask())
    resolved = ResolvedTarget("openai-chat", api, parse_target("http://h", api), [], Network(), [])
    networks = [Network()] * chosen.procs
    task = RunTask(
        name="", own=OwnOptions(name=""), weight=1, options=chosen, resolved=resolved, networks=networks, model="m"
    )
    return make_plans(chosen, [task], windows_of(chosen), profile_of(chosen), prepared=prepared)
