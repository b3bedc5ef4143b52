"""What a replay waits for: single tasks, several of them, and external events by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Node:
    """Something the replay waits for."""

    __slots__ = ("children", "done", "failed", "ids", "then")

    def __init__(self, *, done: bool = False, failed: bool = False) -> None:
        self.done = done
        self.failed = failed
        self.ids: list[int] = []
        self.then: list[Callable[[], None]] = []
        self.children: list[Node] = []

    @property
    def has_failure(self) -> bool:
        """Whether it has failed, or something in it has that it waits for."""
        return self.failed or (not self.done and any(child.has_failure for child in self.children))

    def finish(self, *, failed: bool = False) -> None:
        if not self.done:
            self.done, self.failed = True, failed
            for listener in self.then:
                listener()


class Waits:
    """External events of one name: those that wait and those that came early."""

    __slots__ = ("early", "waiting")

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Node]] = []
        self.early: deque[str] = deque()


def compound(children: list[Node], *, every: bool) -> Node:
    """What is done when every one of the children is, or when one of them is."""
    node = Node()
    node.ids = [number for child in children for number in child.ids]
    waiting = [child for child in children if not child.done]
    if not waiting or (not every and len(waiting) < len(children)):
        node.done, node.failed = True, any(child.failed for child in children if child.done)
        return node
    left = len(waiting) if every else 1

    def one_done() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            node.finish(failed=any(child.has_failure for child in children))

    node.children = children
    for child in waiting:
        child.then.append(one_done)
    return node
