"""A timing wheel: finds the due items among thousands of deadlines at the cost of a dictionary access each."""

from typing import Generic, TypeVar

T = TypeVar("T")

SLOT_US = 1_000
"""Width of a slot in µs. An item comes up at the end of its slot, on average half a slot late."""


class Wheel(Generic[T]):
    """Deadlines in slots of `SLOT_US`. Times are µs of a monotonic clock.

    The slots are in a dictionary instead of a ring, so that a deadline can be arbitrarily far away. No item comes up
    before it is due. Items can't be removed: the caller has to ignore an obsolete item when it comes up.
    """

    __slots__ = ("_overdue", "_passed", "_slots")

    def __init__(self, now_us: int) -> None:
        self._slots: dict[int, list[T]] = {}
        self._overdue: list[T] = []
        self._passed = now_us // SLOT_US

    def __bool__(self) -> bool:
        """Whether any item is waiting."""
        return bool(self._slots) or bool(self._overdue)

    def add(self, due_us: int, item: T) -> None:
        """Add an item that is due at `due_us`; an overdue one comes up with the next `take`."""
        slot = -(-due_us // SLOT_US)
        if slot <= self._passed:
            self._overdue.append(item)
        elif slot in self._slots:
            self._slots[slot].append(item)
        else:
            self._slots[slot] = [item]

    def take(self, now_us: int) -> list[T]:
        """Remove and return the items whose slots have ended by `now_us`, in the order of the slots."""
        taken = self._overdue
        self._overdue = []
        end = now_us // SLOT_US
        slots = self._slots
        if end - self._passed > len(slots):
            # after a pause more slots have passed than are in use
            passed = sorted(slot for slot in slots if slot <= end)
        else:
            passed = [slot for slot in range(self._passed + 1, end + 1) if slot in slots]
        for slot in passed:
            taken += slots.pop(slot)
        self._passed = max(self._passed, end)
        return taken
