"""A timing wheel: finds what is due among thousands of deadlines at the price of a dictionary access."""

from typing import Generic, TypeVar

T = TypeVar("T")

SLOT_US = 1_000
"""Width of a slot in µs. Deadlines are met at the end of their slot: half a slot late on average."""


class Wheel(Generic[T]):
    """Deadlines in slots of `SLOT_US`; times are µs of any clock that doesn't run backwards.

    The slots are kept in a dictionary instead of a ring, so that no deadline is too far away for them.
    Nothing comes up before it is due, and nothing can be taken out: who loses interest in an item has to
    recognise it when it comes up.
    """

    __slots__ = ("_overdue", "_passed", "_slots")

    def __init__(self, now_us: int) -> None:
        self._slots: dict[int, list[T]] = {}
        self._overdue: list[T] = []
        self._passed = now_us // SLOT_US

    def __bool__(self) -> bool:
        """Whether anything is waiting."""
        return bool(self._slots) or bool(self._overdue)

    def add(self, due_us: int, item: T) -> None:
        """Let `item` come up once `due_us` has passed; if it already has, with the next `take`."""
        slot = -(-due_us // SLOT_US)
        if slot <= self._passed:
            self._overdue.append(item)
        elif slot in self._slots:
            self._slots[slot].append(item)
        else:
            self._slots[slot] = [item]

    def take(self, now_us: int) -> list[T]:
        """Everything whose slot has ended by `now_us`, in the order of the slots."""
        taken = self._overdue
        self._overdue = []
        end = now_us // SLOT_US
        slots = self._slots
        if end - self._passed > len(slots):
            # after a pause there are more slots than used ones
            passed = sorted(slot for slot in slots if slot <= end)
        else:
            passed = [slot for slot in range(self._passed + 1, end + 1) if slot in slots]
        for slot in passed:
            taken += slots.pop(slot)
        self._passed = max(self._passed, end)
        return taken
