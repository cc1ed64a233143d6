"""The words per token of made prompts: when they are corrected, to what, and from which request on."""

import asyncio
from typing import Any

import pytest

from llmstress.coordinator.config.options import Options
from llmstress.coordinator.output.load_text import words_lines
from llmstress.coordinator.prompts.prepared import NOTHING_PREPARED
from llmstress.coordinator.run.plans import task_plan
from llmstress.coordinator.run.words_per_token import Corrections, Counted, better_ratio, next_start
from llmstress.coordinator.target.resolved_target import ResolvedTarget
from llmstress.coordinator.target.target_url import parse_target
from llmstress.engine.api.ask import Ask
from llmstress.engine.control import Network, SetWordsPerToken, TaskPlan
from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.messages import Counters, Delta, Part, Phase, key_of
