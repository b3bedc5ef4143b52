"""Watching a run in the app until it has ended, through restarts of the app if need be."""

from __future__ import annotations

import time
from collections.abc import Callable

from tidemill.api.payloads import RunView
from tidemill.cli.client import AppClient
from tidemill.cli.errors import AppProblem, AppUnreachable
from tidemill.cli.output import Output
from tidemill.cli.progress import Pace, Standing
from tidemill.cli.run_pictures import moving, progress_line
from tidemill.errors import TidemillError
from tidemill.model.runs import RunStatus

PATIENCE_SECONDS = 120.0
"""How long an app that was there before may stay silent: a restart takes much less."""

_FIRST_PAUSE_SECONDS = 0.3
_LAST_PAUSE_SECONDS = 2.0


def follow(
    client: AppClient, run: str, output: Output, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> RunView:
    """Watches a run to its end; the run as it then is.

    Raises:
        AppUnreachable: the app stayed silent for too long. The run goes on all the same.
        AppProblem: the app says there is no such run.
    """
    pace, pause, heard = Pace(), _FIRST_PAUSE_SECONDS, clock()
    with output.watch() as show:
        while True:
            try:
                view = client.run(run)
            except TidemillError as error:
                if not _passes(error) or clock() - heard > PATIENCE_SECONDS:
                    raise
                output.line(f"{error.message} Waiting for it; the run itself goes on.")
                sleep(_LAST_PAUSE_SECONDS)
                continue
            heard = clock()
            standing = Standing.of(view)
            pace.see(standing, heard)
            if RunStatus(view.status).is_final:
                return view
            show(moving(standing, pace), progress_line(standing))
            sleep(pause)
            pause = min(pause * 1.1, _LAST_PAUSE_SECONDS)


def _passes(error: TidemillError) -> bool:
    """Whether asking again may help."""
    return isinstance(error, AppUnreachable) or (isinstance(error, AppProblem) and error.problem.status >= 500)
