"""Made prompts as they arrive at a server."""

from collections import Counter
from typing import Any

import pytest
from helpers.http_servers import keeping
from helpers.processes import llmstress, mock_server

from llmstress.engine.prompts.lengths import Lengths
from llmstress.engine.prompts.synthetic import Maker, Synthetic
from llmstress.engine.prompts.words import SALT_WORDS

REQUESTS = 60


@pytest.mark.parametrize(
    "procs", [pytest.param("1", marks=pytest.mark.slow), "2", pytest.param("5", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("load", [("--total-streams", "10"), ("--rate", "100/s")], ids=["closed", "open"])
def test_the_requests_are_the_same_in_any_number_of_processes(procs: str, load: tuple[str, str]) -> None:
    bodies: list[dict[str, Any]] = []
    with keeping(bodies) as url:
        code, summary, _ = llmstress(
            url, "--model", "m", "--headless", "--quiet", "--no-probe", "--proxy", "none", "--no-stream",
            *("--procs", procs, "--requests", str(REQUESTS), *load, "--seed", "7"),
            *("--prompt-tokens", "lognormal:40±30", "--output-tokens", "5..500"),
        )  # fmt: skip
    assert (code, summary["requests"]["ok"]) == (0, REQUESTS)
    made = Maker(Synthetic(prompt=Lengths("lognormal", 40, 30), output=Lengths("uniform", 5, 500), seed=7, salt=0))
    expected = [made.make(number) for number in range(REQUESTS)]
    prompts = [body["messages"][0]["content"].split() for body in bodies]
    assert len({tuple(words[:SALT_WORDS]) for words in prompts}) == REQUESTS
    assert Counter(
        (len(words), " ".join(words[SALT_WORDS:]), body["max_tokens"])
        for words, body in zip(prompts, bodies, strict=True)
    ) == Counter(
        (len(words), " ".join(words[SALT_WORDS:]), each.output)
        for each in expected
        for words in [(each.prompt or "").split()]
    )


@pytest.mark.slow
def test_the_server_counts_what_was_asked_for() -> None:
    with mock_server() as server:
        code, summary, _ = llmstress(
            server.url, "--model", "mock-7b", "--headless", "--quiet", "--no-probe", "--proxy", "none",
            *("--procs", "2", "--requests", "50", "--prompt-tokens", "200", "--shared-prefix-tokens", "150"),
            *("--output-tokens", "6", "--ignore-eos"),
        )  # fmt: skip
        truth = server.stop()
    template = 4  # of the mock, for one message
    assert (code, summary["requests"]["ok"]) == (0, 50)
    assert summary["tokens"]["input"] == 50 * (200 + template)
    assert summary["tokens"]["output"] == truth["tokens"] == 50 * 6
    assert summary["run"]["options"]["prompt_tokens"] == "200"
