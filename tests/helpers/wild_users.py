"""A scenario file whose users do what users should not: each does random things, by its own random numbers."""

import asyncio
import contextlib

from llmstress.scenario import User, between, constant, task


class Wild(User):
    """Does one random thing after the other."""

    weight = 2
    wait_time = between(0, 0.001)

    async def on_start(self) -> None:
        if self.random.random() < 0.2:
            raise LookupError("nobody logs in")
        if self.random.random() < 0.3:
            await self.chat("log in", name="login")

    async def on_stop(self) -> None:
        if self.random.random() < 0.5:
            await self.chat("bye", name="logout")
        if self.random.random() < 0.3:
            raise ValueError("on_stop")

    @task(3)
    async def acts(self) -> None:
        for _ in range(self.random.randrange(4)):
            await self.random.choice(ACTIONS)(self)

    @task
    async def once(self) -> None:
        await self.random.choice(ACTIONS)(self)


class Steady(User):
    """Does what users should do."""

    wait_time = constant(0)

    @task
    async def talk(self) -> None:
        async with self.conversation(system="You are brief.") as talk:
            await talk.say("One?")
            await talk.say("Two?")


async def asks(user: User) -> None:
    answer = await user.chat("a")
    answer.check(user.random.random() < 0.7, "unlucky")
    answer.check(user.random.random() < 0.7, "unlucky again")
    if user.random.random() < 0.5:
        answer.raise_for_status()


async def fails(user: User) -> None:
    raise ValueError("a bug")


async def exits(user: User) -> None:
    raise SystemExit(3)


async def interrupts(user: User) -> None:
    raise KeyboardInterrupt


async def stops(user: User) -> None:
    user.stop()


async def cancels_itself(user: User) -> None:
    raise asyncio.CancelledError


async def breaks_out(user: User) -> None:
    async for _ in user.chat("b"):
        break


async def breaks_out_and_awaits(user: User) -> None:
    asking = user.chat("b")
    async for _ in asking:
        break
    await asking


async def reads_slowly(user: User) -> None:
    asking = user.chat("b")
    async for _ in asking:
        await asyncio.sleep(0.001)
    (await asking).check(user.random.random() < 0.5)


async def never_reads(user: User) -> None:
    iterator = aiter(user.chat("c"))
    task = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(0)
    user.kept = iterator, task  # type: ignore[attr-defined]


async def never_awaits(user: User) -> None:
    user.chat("d")


async def awaits_twice(user: User) -> None:
    asking = user.chat("e")
    assert await asking is await asking


async def awaits_at_once(user: User) -> None:
    asking = user.chat("e")

    async def wait() -> object:
        return await asking

    first, second = await asyncio.gather(wait(), wait())
    assert first is second


async def gathers(user: User) -> None:
    answers = await asyncio.gather(*(user.chat(f"f{number}") for number in range(user.random.randrange(1, 8))))
    for answer in answers:
        answer.check(user.random.random() < 0.9, "of several")


async def hurries(user: User) -> None:
    async with asyncio.timeout(user.random.choice([0, 0.0005, 0.002])):
        await user.chat("g")


async def hurries_and_goes_on(user: User) -> None:
    with contextlib.suppress(TimeoutError):
        await hurries(user)
    await user.chat("after")


async def outlives(user: User) -> None:
    user.kept = asyncio.ensure_future(user.chat("h"))  # type: ignore[attr-defined]


async def outlives_begun(user: User) -> None:
    await outlives(user)
    await asyncio.sleep(0.0005)


async def outlives_and_fails(user: User) -> None:
    async def bug() -> None:
        await user.chat("i")
        raise ValueError("in the background")

    user.kept = asyncio.ensure_future(bug())  # type: ignore[attr-defined]


async def ignores_cancel(user: User) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await user.chat("j")
    await user.chat("k")


async def sleeps(user: User) -> None:
    await asyncio.sleep(user.random.choice([0, 0.0005, 3600]))


async def asks_for_nonsense(user: User) -> None:
    asking = user.chat("l", headers={"a": "b\r\nc"})
    with contextlib.suppress(ValueError):
        await asking
    await asking


ACTIONS = [each for name, each in list(globals().items()) if asyncio.iscoroutinefunction(each)]
