"""`devhost instances`: what the task hub of a running host holds, asked through its management API like any other client would."""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import Any
from urllib.parse import quote, urlencode

from devhost.errors import StartError
from devhost.timeline import timeline

_TIMEOUT_SECONDS = 30
_SET_ASIDE = re.compile(r"instance '(?P<id>.*?)' is set aside: (?P<reason>.*)", re.DOTALL)
_COLUMNS = ("instanceId", "name", "runtimeStatus", "createdTime", "lastUpdatedTime")


def add_instances_parser(commands: Any) -> None:
    """Adds the command and its subcommands."""
    parser = commands.add_parser("instances", help="list, show or purge the orchestration instances of a running host")
    parser.add_argument("--url", default="http://127.0.0.1:7071", help="where the host answers (default: %(default)s)")
    parser.add_argument("--key", default="", help="the durabletask_extension system key, for a host that asks for keys")
    parser.add_argument("--json", action="store_true", help="print what the API answers")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="one line for each instance, newest first")
    listing.add_argument("--status", help="only these, such as Running,Failed")
    listing.add_argument("--prefix", help="only ids that begin so")
    listing.add_argument("--top", type=int, default=100, help="at most so many (default: %(default)s)")

    show = actions.add_parser("show", help="one instance with its history as a timeline")
    show.add_argument("id")

    purge = actions.add_parser("purge", help="delete finished instances and their history")
    purge.add_argument("id", nargs="?")
    purge.add_argument("--created-from", metavar="TIME", help="delete all created since (ISO 8601)")
    purge.add_argument("--created-to", metavar="TIME", help="... and before")
    purge.add_argument("--status", help="... with these statuses (default: Completed,Failed,Terminated)")


class ManagementApi:
    """Calls `/runtime/webhooks/durabletask` of a host."""

    def __init__(self, url: str, key: str) -> None:
        self._base = url.rstrip("/") + "/runtime/webhooks/durabletask"
        self._host = url
        self._key = key

    def call(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> tuple[int, Message, Any]:
        """Status, headers and parsed body.

        Raises:
            StartError: nobody answers there, or the key is refused.
        """
        return self._send(method, self._base + path, query, headers)

    def set_aside(self) -> dict[str, str]:
        """Instance id → why the host has given it up. Empty too when the host does not say: it may ask for another key."""
        try:
            _, _, status = self._send("GET", self._host.rstrip("/") + "/admin/host/status", {})
        except StartError:
            return {}
        told = status.get("errors", []) if isinstance(status, dict) else []
        return {found["id"]: found["reason"] for text in told if (found := _SET_ASIDE.fullmatch(str(text)))}

    def _send(self, method: str, url: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None) -> tuple[int, Message, Any]:
        given = {**query, **({"code": self._key} if self._key else {})}
        request = urllib.request.Request(f"{url}?{urlencode(given)}", method=method, headers=dict(headers or {}))  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as reply:  # noqa: S310 - the user's own --url
                return reply.status, reply.headers, _body(reply.read())
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise StartError(
                    f"The host at {self._host} asks for a key; give its durabletask_extension system key with --key."
                ) from None
            return error.code, error.headers, _body(error.read())
        except (urllib.error.URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise StartError(f"No host answers at {self._host} ({reason}); is it running? --url names another.") from None


def _body(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode("utf-8", "replace")


def run_instances(arguments: argparse.Namespace) -> int:
    """Runs one of the actions and returns the exit code."""
    api = ManagementApi(arguments.url, arguments.key)
    action = {"list": _list, "show": _show, "purge": _purge}[arguments.action]
    return action(api, arguments)


def _list(api: ManagementApi, arguments: argparse.Namespace) -> int:
    query = {"top": str(arguments.top), "showInput": "false"}
    if arguments.status:
        query["runtimeStatus"] = arguments.status
    if arguments.prefix:
        query["instanceIdPrefix"] = arguments.prefix
    found: list[dict[str, Any]] = []
    headers: dict[str, str] = {}
    while len(found) < arguments.top:
        status, answered, page = api.call("GET", "/instances", query, headers)
        if status != 200:
            raise StartError(f"The host answered {status}: {page}")
        found += page
        token = answered.get("x-ms-continuation-token")
        if not token:
            break
        headers = {"x-ms-continuation-token": token}
    found = sorted(found, key=lambda item: str(item["createdTime"]), reverse=True)[: arguments.top]
    if arguments.json:
        return _print_json(found)
    aside = api.set_aside()
    rows = [[str(item.get(column) or "") for column in _COLUMNS] for item in found]
    for row in rows:
        row[2] += " (set aside)" if row[0] in aside else ""
    titles = ["INSTANCE", "NAME", "STATUS", "CREATED", "UPDATED"]
    widths = [max(len(row[index]) for row in [titles, *rows]) for index in range(len(titles))]
    for row in [titles, *rows]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    for instance, reason in aside.items():
        sys.stdout.write(f"\n{instance} is set aside until the host starts anew: {reason}\n")
    return 0


def _show(api: ManagementApi, arguments: argparse.Namespace) -> int:
    query = {"showHistory": "true", "showHistoryOutput": "true"}
    path = f"/instances/{quote(arguments.id, safe='')}"
    status, _, instance = api.call("GET", path, query)
    unreadable = instance.get("ExceptionMessage") if status >= 400 and isinstance(instance, dict) else None
    if unreadable:  # the status may be had without the history
        status, _, instance = api.call("GET", path, {})
    if status == 404:
        raise StartError(f"There is no instance {arguments.id!r}; `devhost instances list` shows those there are.")
    if not isinstance(instance, dict) or "runtimeStatus" not in instance:
        raise StartError(f"The host answered {status}: {instance}")
    if arguments.json:
        return _print_json(instance)
    for line in timeline(instance):
        sys.stdout.write(line + "\n")
    if unreadable:
        sys.stdout.write(f"  The history cannot be shown: {unreadable}\n")
    if (reason := api.set_aside().get(arguments.id)) is not None:
        sys.stdout.write(f"  SET ASIDE until the host starts anew: {reason}\n")
    return 0


def _purge(api: ManagementApi, arguments: argparse.Namespace) -> int:
    if bool(arguments.id) == bool(arguments.created_from):
        raise StartError("Say either which instance to purge, or --created-from and so on; not both.")
    if arguments.id:
        status, _, answer = api.call("DELETE", f"/instances/{quote(arguments.id, safe='')}", {})
    else:
        query = {"createdTimeFrom": arguments.created_from, "runtimeStatus": arguments.status or "Completed,Failed,Terminated"}
        if arguments.created_to:
            query["createdTimeTo"] = arguments.created_to
        status, _, answer = api.call("DELETE", "/instances", query)
    if status == 404:
        sys.stdout.write("Nothing to purge.\n")
        return 1 if arguments.id else 0
    if status != 200 or not isinstance(answer, dict):
        raise StartError(f"The host answered {status}: {answer}")
    if arguments.json:
        return _print_json(answer)
    sys.stdout.write(f"{answer.get('instancesDeleted', 0)} instances purged.\n")
    return 0


def _print_json(value: Any) -> int:
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0
