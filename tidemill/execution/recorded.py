"""What recent runs say about time: the recorded history that predictions are made from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from statistics import median

from tidemill.execution.runs import Runs
from tidemill.model.runs import RunResult, RunStatus
from tidemill.plan.predict import Seen

RUNS = 20
"""How many of the latest runs are looked at."""

_READERS = 10


def recorded(runs: Runs, limit: int = RUNS) -> Seen:
    """How long units took in the latest runs, and how much of that at the same time.

    Raises:
        StoreUnavailable: the store did not answer.
    """
    latest = runs.recent(limit)
    if not latest:
        return Seen({}, None, 0)
    with ThreadPoolExecutor(min(_READERS, len(latest)), thread_name_prefix="history") as pool:
        results = [each for each in pool.map(runs.result, latest) if each is not None]
    return seen_in(results)


def seen_in(results: list[RunResult]) -> Seen:
    """The same from results. Pure.

    An asset's time is the median over the runs that computed some of it. Time spent on finding earlier results is counted with it, which makes it a little
    too long rather than too short.
    """
    times: dict[str, list[float]] = {}
    busy = took = 0.0
    used = 0
    for result in results:
        ran = [each for each in result.assets if each.succeeded > each.found]
        for each in ran:
            times.setdefault(each.asset, []).append(each.seconds / (each.succeeded - each.found))
        if ran:
            used += 1
        if ran and result.status is RunStatus.SUCCEEDED:
            busy += sum(each.seconds for each in ran)
            took += (result.finished_at - result.started_at).total_seconds()
    return Seen({asset: median(each) for asset, each in times.items()}, busy / took if busy and took else None, used)
