"""Words per token of made prompts: corrected once the server has counted enough of them.

The first prompts have one word per token. A server counts other numbers if its vocabulary splits words, and its
template comes on top. The workers report words and tokens of the requests that ended ok. They change to other words per
token at a number of the requests that none of them has reached. So the prompts of a run follow from the words per token
and these numbers, and not from the number of processes.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from llmstress.coordinator.config.prompt_options import FEWEST_WORDS, MOST_WORDS
from llmstress.coordinator.output.schema import WordsPerToken
from llmstress.engine.control import SetWordsPerToken, TaskPlan, ToWorker
from llmstress.engine.prompts.synthetic import Synthetic
from llmstress.engine.telemetry.aggregate import Aggregate
from llmstress.engine.telemetry.asked import MAX_DIFFERENCE
from llmstress.engine.telemetry.messages import Delta, Phase, task_of

LEAST_ANSWERS, LEAST_TOKENS = 50, 5_000
"""Answers, and tokens asked for in their prompts, from which the ratio is known well enough. How many tokens a word has
differs from word to word by about half a token. Over 5,000 words the mean is then off by 0.7 %, and a difference of 2 %
is none of chance. Texts from the same 128 words also differ from prompt to prompt, so there are at least 50 of them."""

MOST_CORRECTIONS = 3

AHEAD_S, AHEAD_REPORTS = 0.5, 2
"""A correction lies so far ahead, in time and in reports together, at the rate of requests so far: a report may be as
old as its interval, and orders take a moment."""


class Counted(msgspec.Struct, frozen=True):
    """Sums over ok answers to made prompts whose input the server has counted."""

    answers: int = 0
    asked: int = 0
    """Tokens that the prompts were made to have."""
    words: int = 0
    """Words that they had."""
    delivered: int = 0
    """Tokens that the server has counted in them."""

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            self.answers + other.answers,
            self.asked + other.asked,
            self.words + other.words,
            self.delivered + other.delivered,
        )

    @property
    def enough(self) -> bool:
        """The sums say what a prompt has."""
        return self.answers >= LEAST_ANSWERS and self.asked >= LEAST_TOKENS and self.words > 0 and self.delivered > 0

    @property
    def difference(self) -> float:
        """Share by which prompts are longer than asked for; negative: shorter."""
        return self.delivered / self.asked - 1


def better_ratio(now: Counted, in_force: float, before: Counted | None = None) -> float | None:
    """The words per token with which the server would count what is asked for; None: those in force stay.

    The first correction takes the tokens of a prompt as proportional to its words. The template is not: after a
    correction, two points of the line are known, and the next one follows from both.

    Args:
        now: of prompts nearly all of which have the ratio `in_force`.
        in_force: words per token.
        before: of the prompts before the last correction; None: there was none.
    """
    if not now.enough or abs(now.difference) <= MAX_DIFFERENCE:
        return None
    wanted = now.words / now.delivered
    if before is not None:
        if abs(before.difference) - abs(now.difference) <= MAX_DIFFERENCE:
            return None  # the last correction has not helped: prompts can't be shorter than a word, or the like
        words, earlier = now.words / now.asked, before.words / before.asked
        slope = (now.difference - before.difference) / (words - earlier) if words != earlier else 0.0
        if slope > 0 and (aim := words - now.difference / slope) > 0:
            wanted = aim
    ratio = rounded(wanted)
    return ratio if abs(ratio / in_force - 1) > MAX_DIFFERENCE else None


def rounded(ratio: float) -> float:
    """`ratio` in steps of 0.005, below 0.5 of 0.001, so that equal servers get equal corrections."""
    step = 0.005 if ratio >= 0.5 else 0.001
    return round(min(MOST_WORDS, max(FEWEST_WORDS, round(ratio / step) * step)), 3)


def next_start(numbers: int, in_flight: int, elapsed_s: float, interval_s: float) -> int:
    """The number of the request from which a correction is in force: a power of two that no worker has reached.

    Args:
        numbers: all numbers below have perhaps been given out, as far as it was reported.
        in_flight: so many requests may end, and others begin, at any moment.
        elapsed_s: time since T0.
        interval_s: time between two reports of a worker.
    """
    ahead_s = AHEAD_S + AHEAD_REPORTS * interval_s
    soon = numbers + in_flight + math.ceil(numbers * ahead_s / max(0.1, elapsed_s))
    return 1 << max(6, soon.bit_length())


def is_corrected(plan: TaskPlan) -> bool:
    """Whether the words per token of a task are corrected: its prompts are made of common words, and stand alone in
    their requests. A turn of a conversation has the earlier ones beside it, a step of a flow perhaps values."""
    made = plan.synthetic
    return made is not None and made.prompt is not None and made.corrected and not plan.step


class _Course:
    """What is known of the prompts of one task."""

    def __init__(self, number: int, plan: TaskPlan, made: Synthetic) -> None:
        self.number = number
        self.name = " ".join(filter(None, (plan.name, plan.step)))
        self.corrected = is_corrected(plan)
        self.steps: list[tuple[int, float]] = [(0, made.words_per_token)]
        """Number of a request, and the words per token from it on."""
        self.late: set[int] = set()
        """Numbers from which on workers that were late have applied a correction."""
        self.ended = 0
        self.started: Counter[int] = Counter()
        self.due: Counter[int] = Counter()
        """Worker -> how many of its requests have started, and have arrived (open model)."""
        self.counted = Counted()
        """Of the words per token in force."""
        self.before: Counted | None = None
        self.settled = 0
        """The prompts that have another ratio than that in force belong to the first so many requests that end."""


class Corrections:
    """Follows the reports of the workers, and orders corrections."""

    def __init__(
        self,
        aggregate: Aggregate,
        order_all: Callable[[ToWorker], Awaitable[None]],
        notice: Callable[[str, str], None],
    ) -> None:
        """aggregate: what the workers have reported. order_all: sends an order to all running workers. notice: adds a
        line to the log, by its kind and text."""
        self._aggregate, self._order_all, self._notice = aggregate, order_all, notice
        self._workers = len(aggregate.workers)
        self._courses: dict[int, _Course] = {}

    def begin(self, plans: Iterable[TaskPlan]) -> None:
        """The run has tasks of these plans."""
        self._courses = {
            number: _Course(number, plan, plan.synthetic)
            for number, plan in enumerate(plans)
            if plan.synthetic is not None and plan.synthetic.prompt is not None
            if not (plan.synthetic.words or plan.synthetic.ids)
        }

    async def follow(self, delta: Delta) -> None:
        """Take in a report, and order the corrections that follow from it."""
        for order in self.add(delta):
            await self._order_all(order)
            self._notice("note", self._text_of(order))

    def add(self, delta: Delta) -> list[SetWordsPerToken]:
        """Take in a report; gives the orders for all workers that follow from it."""
        for key, part in delta.parts.items():
            course = self._courses.get(task_of(key))
            if course is not None and course.corrected:
                counters = part.counters
                course.started[delta.worker] += counters.started
                course.due[delta.worker] += counters.due
                settled = course.ended >= course.settled
                course.ended += sum(part.ended.values()) + counters.dropped
                if settled:
                    course.counted += Counted(
                        min(counters.input_seen, part.ended.get("ok", 0)),
                        counters.asked_input,
                        counters.made_words,
                        counters.delivered_input,
                    )
        for task, since in delta.corrected_late.items():
            course = self._courses.get(task)
            if course is not None and since not in course.late:
                course.late.add(since)
                self._notice(
                    "note",
                    f"worker {delta.worker} had passed the request from which prompts are corrected: its prompts are "
                    f"corrected from request {since:,} on",
                )
        return list(self._orders(delta.t_to / 1e9, (delta.t_to - delta.t_from) / 1e9))

    def _orders(self, elapsed_s: float, interval_s: float) -> Iterable[SetWordsPerToken]:
        if self._aggregate.phase is Phase.DRAIN:
            return
        for course in self._courses.values():
            if not course.corrected or len(course.steps) > MOST_CORRECTIONS:
                continue
            ratio = better_ratio(course.counted, course.steps[-1][1], course.before)
            if ratio is None:
                continue
            in_flight = max(worker.open for worker in self._aggregate.workers) * self._workers
            start = next_start(self._numbers(course), in_flight, elapsed_s, interval_s)
            course.before, course.counted = course.counted, Counted()
            course.settled = start + in_flight
            course.steps.append((start, ratio))
            yield SetWordsPerToken(course.number, start, ratio)

    def _numbers(self, course: _Course) -> int:
        """The numbers of requests below this one may have been given out: worker w of n takes w, w + n, w + 2n, ..."""
        return max((*course.started.values(), *course.due.values()), default=0) * self._workers

    def _text_of(self, order: SetWordsPerToken) -> str:
        """The line of the log for an order."""
        course = self._courses[order.task]
        before, known = course.steps[-2][1], course.before or Counted()
        whose = f"{course.name}: " if course.name else ""
        return (
            f"{whose}the server counts {known.delivered:,} tokens in made prompts, and {known.asked:,} were asked for "
            f"({known.difference:+.1%}): {order.ratio:g} words per token instead of {before:g}, from request "
            f"{order.from_request:,} on"
        )

    def rows(self) -> list[WordsPerToken]:
        """What prompts had, for the summary."""
        return [row for course in self._courses.values() for row in self._rows_of(course)]

    def _rows_of(self, course: _Course) -> Iterable[WordsPerToken]:
        ends = [*(start for start, _ in course.steps[1:]), math.inf]
        for (start, ratio), end in zip(course.steps, ends, strict=True):
            yield WordsPerToken(
                task=course.name,
                ratio=ratio,
                from_request=start,
                reached=not start or self._numbers(course) > start,
                late_from_request=max((late for late in course.late if start < late < end), default=None),
            )
