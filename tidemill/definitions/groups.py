"""Groups of assets, and how often their results are published: once a run, once a window, or unit by unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tidemill.errors import DefinitionProblem, did_you_mean


class Granularity(StrEnum):
    """What is published with one commit."""

    RUN = "run"  # everything that the run made, at its end, or nothing
    WINDOW = "window"  # what one tranche of the run made, as soon as it is through, if all of it succeeded
    UNIT = "unit"  # each unit that succeeded, with a commit of its own, as soon as it is done

    @property
    def sooner(self) -> int:
        """Orders them: a greater one publishes sooner."""
        return list(Granularity).index(self)


@dataclass(frozen=True, slots=True)
class Group:
    """A group of assets that says how often it is published: `@asset(group=Group("bronze", commit="window"))`.

    What one asset of the group says counts for all of them.
    """

    name: str
    commit: str = Granularity.RUN.value
    """`run`: once, at the end of a run, everything or nothing · `window`: whenever a tranche of the run (at most a hundred units, in plan order) has succeeded ·
    `unit`: every unit that succeeded, with a commit of its own, as soon as it is done."""

    def __post_init__(self) -> None:
        """Checks the words.

        Raises:
            DefinitionProblem: `commit` is none of the three.
        """
        if self.commit not in set(Granularity):
            raise DefinitionProblem(
                f"Group: commit must be one of `run`, `window` and `unit`, not {self.commit!r}.",
                place="Group",
                hint=did_you_mean(str(self.commit), Granularity),
            )


class Member(NamedTuple):
    """An asset, as far as its group is concerned."""

    key: str
    group: str
    commit: Granularity | None
    """What it says itself; None: nothing."""
    place: str


def granularities(members: Iterable[Member]) -> tuple[Mapping[str, Granularity], list[DefinitionProblem]]:
    """How often each group is published, by its name, and who disagrees about it."""
    said: dict[str, Member] = {}
    problems: list[DefinitionProblem] = []
    for each in members:
        first = said.setdefault(each.group, each) if each.commit is not None else each
        if first.commit is not each.commit:
            problems.append(
                DefinitionProblem(
                    f"Group `{each.group}` is published once a {each.commit} according to `{each.key}`, but once a {first.commit} "
                    f"according to `{first.key}` in {first.place}.",
                    place=each.place,
                    hint="Make one `Group(...)` and give it to all of them.",
                )
            )
    return {name: each.commit or Granularity.RUN for name, each in said.items()}, problems


def published_too_soon(
    members: Mapping[str, Member], by_group: Mapping[str, Granularity], edges: Mapping[str, Iterable[str]]
) -> Iterator[DefinitionProblem]:
    """Assets that would be published before something they read: whoever reads a version must be able to read what it was made from.

    Args:
        members: those that are published at all, by key.
        by_group: see `granularities`.
        edges: what each asset reads, by key.
    """
    for key, each in members.items():
        own = by_group.get(each.group, Granularity.RUN)
        for upstream in edges.get(key, ()):
            theirs = by_group.get(members[upstream].group, Granularity.RUN) if upstream in members else own
            if theirs.sooner < own.sooner:
                yield DefinitionProblem(
                    f"Asset `{key}` is published once a {own}, but `{upstream}`, which it reads, once a {theirs}: for a while, nobody could see what "
                    "it was made from.",
                    place=each.place,
                    hint=f"Publish group `{each.group}` once a {theirs} too, or group `{members[upstream].group}` once a {own}.",
                )
