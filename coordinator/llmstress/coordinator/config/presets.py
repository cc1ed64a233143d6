"""Presets: the lengths of prompt and answer, the think time and the SLOs of some usual loads, with their reasons.

docs/config.md is made from this table. A value is that of the flag as a file would hold it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from llmstress.coordinator.config.load_text import parse_stage
from llmstress.coordinator.config.settings import Entry, Given, Setting, checked, gather

RIVALS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"prompt-tokens": ("prompt", "prompt-ids", "prompts", "trace"), "max-tokens": ("output-tokens", "trace")}
)
"""Key of a preset -> keys that say the same in another way: the preset's value is left out if one of them is given."""


class Choice(msgspec.Struct, frozen=True):
    """The value of one flag in a preset."""

    value: Any
    reason: str
    closed_only: bool = False
    """The value is for streams (closed model): it is left out if requests arrive at a rate."""


class Preset(msgspec.Struct, frozen=True):
    """Values for a usual load."""

    meaning: str
    choices: Mapping[str, Choice]
    """Key -> value and its reason."""


def _think(time: str, reason: str) -> Choice:
    return Choice(time, reason, closed_only=True)


_FLOW = "1 s is the limit up to which a user's flow of thought is not interrupted (Nielsen 1993)"
_ATTENTION = "10 s is the limit up to which a user's attention is kept (Nielsen 1993)"
_READING = (
    "people read 238 words a minute (Brysbaert 2019), one token every 190 ms; about half of that, for those who skim"
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "chat": Preset(
            "a person who talks with an assistant",
            {
                "prompt-tokens": Choice(
                    160, "mean of the ShareGPT conversations in the vLLM paper (arXiv 2309.06180): 161"
                ),
                "max-tokens": Choice(340, "mean of the same conversations: 338"),
                "think-time": _think("exp:10s", "assumed: skim the answer and type a short question"),
                "slo": Choice(["ttft<1s", "tpot<100ms"], f"{_FLOW}; {_READING}"),
            },
        ),
        "rag": Preset(
            "a question together with passages that a search has found",
            {
                "prompt-tokens": Choice(4_000, "assumed: a question and eight passages of 500 tokens"),
                "max-tokens": Choice(300, "assumed: an answer of two paragraphs"),
                "think-time": _think("exp:20s", "assumed: read the answer and its sources"),
                "slo": Choice(["ttft<2s", "tpot<200ms"], "limits of MLPerf Inference (server) for llama2-70b"),
            },
        ),
        "agent": Preset(
            "a program that calls tools in a loop",
            {
                "prompt-tokens": Choice(8_000, "assumed: instructions, descriptions of tools, and the steps so far"),
                "max-tokens": Choice(200, "assumed: one tool call with its arguments"),
                "think-time": _think("exp:1s", "assumed: the time that a tool takes"),
                "slo": Choice(["e2e<10s"], f"the program needs the whole answer; {_ATTENTION}"),
            },
        ),
        "batch": Preset(
            "documents that are processed without anyone waiting",
            {
                "prompt-tokens": Choice(1_000, "assumed: a document of two pages"),
                "max-tokens": Choice(500, "assumed: a summary or extracted fields"),
                "think-time": _think("0s", "the next document is there at once"),
                "slo": Choice(["e2e<5m"], "assumed: nobody waits, but an answer that takes minutes blocks its slot"),
            },
        ),
        "long-context": Preset(
            "questions about a long document",
            {
                "prompt-tokens": Choice(32_000, "assumed: a document of 60 pages"),
                "max-tokens": Choice(500, "assumed: an answer of three to four paragraphs"),
                "think-time": _think("exp:30s", "assumed: read the answer and compare it with the document"),
                "slo": Choice(["ttft<10s", "tpot<175ms"], f"{_ATTENTION}; limit of MLPerf Inference for llama3.1-405b"),
            },
        ),
    }
)
"""Name -> preset."""


def origin_of(name: str) -> str:
    """The origin of the values of a preset."""
    return f"preset {name}"


def read_preset(name: str, keys: Mapping[str, Setting], given: Mapping[str, Given]) -> dict[str, Given]:
    """Field -> value of the settings of a preset; empty for an unknown name, which the flag's own check refuses.

    `given`: what is given elsewhere, which decides whether requests arrive at a rate.
    """
    if name not in PRESETS:
        return {}
    at_a_rate = _arrive_at_a_rate(
        {key: given[setting.field].value for key, setting in keys.items() if setting.field in given}
    )

    def entries() -> Iterator[Entry]:
        for key, choice in PRESETS[name].choices.items():
            rival = any(keys[each].field in given for each in RIVALS.get(key, ()) if each in keys)
            if key in keys and not rival and not (choice.closed_only and at_a_rate):
                yield checked(keys[key], Entry(key, choice.value, origin_of(name)))

    return gather(entries(), keys)


def _arrive_at_a_rate(values: Mapping[str, Any]) -> bool:
    if "rate" in values or "trace" in values:
        return True
    for text in values.get("stage", ()):
        with contextlib.suppress(ValueError):  # the flag's own check refuses the text
            if parse_stage(text).rate:
                return True
    return False
