"""Finding circles among assets that read each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping


def find_cycles(edges: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """One shortest circle for every group of nodes that reach each other.

    Args:
        edges: node to the nodes it points to; targets that are no node are ignored.

    Returns:
        Circles as paths whose last node is the first again, starting with their smallest node; sorted.
    """
    graph = _knot({node: sorted(set(targets) & edges.keys()) for node, targets in edges.items()})
    done: set[str] = set()
    cycles = []
    for start in sorted(graph):
        if start in done:
            continue
        path = _shortest_circle(graph, start)
        if path:
            # Everything that lies on some circle with `start` is told by this one circle.
            done |= _reachable(graph, start) & _reachable(_reversed(graph), start)
            smallest = path.index(min(path))
            cycles.append((*path[smallest:], *path[:smallest], path[smallest]))
    return sorted(cycles)


def _knot(graph: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The part of the graph that cannot be put in order: usually nothing, so that checking stays linear."""
    readers = _reversed(graph)
    missing = {node: len(targets) for node, targets in graph.items()}
    ready = [node for node, count in missing.items() if not count]
    while ready:
        node = ready.pop()
        del missing[node]
        for reader in readers[node]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    return {node: [target for target in graph[node] if target in missing] for node in missing}


def _shortest_circle(graph: Mapping[str, list[str]], start: str) -> list[str]:
    """The nodes of a shortest path from `start` back to itself, each once; empty if there is none."""
    before: dict[str, str] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for target in graph[node]:
            if target == start:
                path = [node]
                while path[-1] != start:
                    path.append(before[path[-1]])
                return path[::-1]
            if target not in before:
                before[target] = node
                queue.append(target)
    return []


def _reachable(graph: Mapping[str, list[str]], start: str) -> set[str]:
    found = {start}
    front = [start]
    while front:
        front = [target for node in front for target in graph[node] if target not in found]
        found.update(front)
    return found


def _reversed(graph: Mapping[str, list[str]]) -> dict[str, list[str]]:
    flipped: dict[str, list[str]] = {node: [] for node in graph}
    for node, targets in graph.items():
        for target in targets:
            flipped[target].append(node)
    return flipped
