"""The hub: who is told, how often, and what it costs."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from leaderboard import events
from leaderboard.events import EventHub, board_topic, queue_topic, submission_topic

T = TypeVar("T")


def run(scenario: Callable[[EventHub], Awaitable[T]], refresh_s: float = 3600) -> T:
    """Run a scenario with an open hub; one that hangs fails."""

    async def main() -> T:
        hub = EventHub(refresh_s, pause_s=0)
        hub.open()
        return await asyncio.wait_for(scenario(hub), 20)

    return asyncio.run(main())


class Source:
    """Something to look up, which counts how often it is."""

    def __init__(self) -> None:
        self.value = 0
        self.looks = 0

    def __call__(self) -> int:
        self.looks += 1
        return self.value


def test_the_present_state_comes_first_and_changes_follow() -> None:
    async def scenario(hub: EventHub) -> list[int]:
        source, seen = Source(), []
        async for state in hub.follow("k", ["t"], source):
            seen.append(state)
            if state == 3:
                return seen
            source.value += 1
            hub.publish("t")
        return seen

    assert run(scenario) == [0, 1, 2, 3]


def test_a_change_that_changes_nothing_is_not_told() -> None:
    async def scenario(hub: EventHub) -> tuple[list[int], int]:
        source, seen = Source(), []

        async def nudge() -> None:
            while source.looks < 4:
                hub.publish("t")
                await asyncio.sleep(0)
            source.value = 9
            hub.publish("t")

        nudging = asyncio.create_task(nudge())
        async for state in hub.follow("k", ["t"], source):
            seen.append(state)
            if state == 9:
                break
        await nudging
        return seen, source.looks

    seen, looks = run(scenario)
    assert seen == [0, 9]
    assert looks >= 5


def test_a_slow_reader_misses_the_middle_and_never_the_end() -> None:
    async def scenario(hub: EventHub) -> list[int]:
        source, seen = Source(), []
        stream = hub.follow("k", ["t"], source)
        seen.append(await anext(stream))
        for value in range(1, 1001):
            source.value = value
            hub.publish("t")
        seen.append(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        return seen

    assert run(scenario) == [0, 1000]


def test_a_busy_queue_is_looked_at_now_and_then() -> None:
    async def scenario(hub: EventHub) -> tuple[list[int], int]:
        source, seen = Source(), []
        stream = hub.follow("k", [queue_topic("cpu")], source)
        seen.append(await anext(stream))
        following = asyncio.ensure_future(anext(stream))
        for value in range(1, 1001):
            source.value = value
            hub.publish(queue_topic("cpu"))
            await asyncio.sleep(0)
        seen.append(await following)
        await stream.aclose()  # type: ignore[attr-defined]
        return seen, source.looks

    async def main() -> tuple[list[int], int]:
        hub = EventHub(3600, pause_s=0, queue_s=(0.5, 0.6))
        hub.open()
        return await asyncio.wait_for(scenario(hub), 20)

    seen, looks = asyncio.run(main())
    # A thousand turns of the loop may take longer than the pause; a look each they are not.
    assert seen[0] == 0
    assert seen[-1] > 0
    assert looks < 10


def test_other_topics_wake_nobody() -> None:
    async def scenario(hub: EventHub) -> int:
        source = Source()
        stream = hub.follow("k", ["t"], source)
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        for _ in range(50):
            hub.publish("u")
            await asyncio.sleep(0)
        looks = source.looks
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return looks

    assert run(scenario) == 1


def test_a_thousand_readers_share_one_look() -> None:
    async def scenario(hub: EventHub) -> tuple[int, int, int]:
        source = Source()

        async def read() -> int:
            async for state in hub.follow("k", ["t"], source):
                if state == 1:
                    return state
            raise AssertionError("the stream ended")

        readers = [asyncio.create_task(read()) for _ in range(1000)]
        while hub.followers < 1000 or source.looks < 1:
            await asyncio.sleep(0)
        before = source.looks
        source.value = 1
        hub.publish("t")
        await asyncio.gather(*readers)
        await asyncio.sleep(0)
        return before, source.looks, hub.followers

    before, after, followers = run(scenario)
    assert before == 1
    assert after == 2
    assert followers == 0


def test_whoever_is_told_late_is_told_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_SLICE", 1)

    async def scenario(hub: EventHub) -> list[list[int]]:
        source = Source()

        async def read() -> list[int]:
            seen = []
            async for state in hub.follow("k", ["t"], source):
                seen.append(state)
                if state == 1 and source.value == 1:
                    source.value = 2  # in the middle of telling the others of 1
                    hub.publish("t")
                if state == 2:
                    return seen
                time.sleep(0.002)  # what sending costs
            raise AssertionError("the stream ended")

        readers = [asyncio.create_task(read()) for _ in range(100)]
        while hub.followers < 100 or source.looks < 1:
            await asyncio.sleep(0)
        source.value = 1
        hub.publish("t")
        return await asyncio.gather(*readers)

    told = run(scenario)
    assert all(seen[-1] == 2 for seen in told)
    assert sum(1 not in seen for seen in told) > 10


def test_different_keys_do_not_share() -> None:
    async def scenario(hub: EventHub) -> tuple[object, object]:
        mine = hub.follow(("s", True), ["t"], lambda: "with the log")
        yours = hub.follow(("s", False), ["t"], lambda: "without")
        return await anext(mine), await anext(yours)

    assert run(scenario) == ("with the log", "without")


def test_a_look_begun_before_a_change_does_not_answer_for_it() -> None:
    async def scenario(hub: EventHub) -> list[str]:
        begun, go_on = threading.Event(), threading.Event()
        state = {"value": "old"}

        def look() -> str:
            found = state["value"]
            if found == "old":
                begun.set()
                go_on.wait(10)
            return found

        seen: list[str] = []

        async def read() -> None:
            async for found in hub.follow("k", ["t"], look):
                seen.append(found)
                if found == "new":
                    return

        reading = asyncio.create_task(read())
        await asyncio.to_thread(begun.wait, 10)
        state["value"] = "new"
        hub.publish("t")
        await asyncio.sleep(0)
        go_on.set()
        await reading
        return seen

    assert run(scenario) == ["old", "new"]


def test_silence_is_broken_by_looking_now_and_then() -> None:
    async def scenario(hub: EventHub) -> int:
        source = Source()
        stream = hub.follow("k", ["t"], source)
        await anext(stream)
        source.value = 7  # another process changed it: nobody publishes here
        return await anext(stream)

    assert run(scenario, refresh_s=0.02) == 7


def test_closing_ends_every_stream() -> None:
    async def scenario(hub: EventHub) -> list[list[int]]:
        async def read() -> list[int]:
            return [state async for state in hub.follow("k", ["t"], Source())]

        readers = [asyncio.create_task(read()) for _ in range(3)]
        while hub.followers < 3:
            await asyncio.sleep(0)
        hub.close()
        return await asyncio.gather(*readers)

    assert all(len(seen) <= 1 for seen in run(scenario))


def test_a_reader_that_leaves_leaves_nothing_behind() -> None:
    async def scenario(hub: EventHub) -> tuple[int, int, int]:
        stream = hub.follow("k", ["t"], Source())
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return hub.followers, len(hub._topics), len(hub._channels)

    assert run(scenario) == (0, 0, 0)


def test_an_error_while_looking_reaches_the_reader() -> None:
    def fail() -> int:
        raise OSError("no database")

    async def scenario(hub: EventHub) -> int:
        with pytest.raises(OSError, match="no database"):
            await anext(hub.follow("k", ["t"], fail))
        return hub.followers

    assert run(scenario) == 0


def test_publishing_without_a_loop_or_after_it_ended_is_harmless() -> None:
    hub = EventHub(1)
    hub.publish("t")

    async def open_it() -> None:
        hub.open()

    asyncio.run(open_it())
    hub.publish("t")
    assert hub.followers == 0


def test_topics_differ() -> None:
    topics = {submission_topic("x"), queue_topic("x"), board_topic("x", "y"), board_topic("y", "x")}

    assert len(topics) == 4
