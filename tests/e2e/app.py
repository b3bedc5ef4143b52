"""Speaking to a running app over HTTP, and to its store as any program would. No Tidemill code: what is asked is what a stranger could ask."""

from __future__ import annotations

import time
from typing import Any, Self

import httpx

FINAL = frozenset({"succeeded", "failed", "canceled"})


class App:
    """A running app."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=f"{url}/api", timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def start(self, selection: str, *, key: str = "", **request: Any) -> str:
        """Starts a run and returns its id."""
        headers = {"Idempotency-Key": key} if key else {}
        reply = self.http.post("/runs", json={"selection": selection, **request}, headers=headers)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["run_id"])

    def wait(self, run: str, *, until: frozenset[str] = FINAL, seconds: float = 90) -> dict[str, Any]:
        """Follows a run as its replies ask: 202 while it runs, 200 at its end."""
        deadline = time.monotonic() + seconds
        while True:
            reply = self.http.get(f"/runs/{run}")
            if reply.status_code == 500 and not reply.content:  # the host's answer to a call whose worker died under it
                assert time.monotonic() < deadline, "the worker did not come back"
                time.sleep(0.1)
                continue
            view: dict[str, Any] = reply.json()
            assert reply.status_code == (200 if view.get("status") in FINAL else 202), reply.text
            if view["status"] in until:
                return view
            assert time.monotonic() < deadline, f"the run is still {view['status']} after {seconds} s: {view}"
            time.sleep(0.1)

    def run(self, selection: str, **request: Any) -> dict[str, Any]:
        """Starts a run and follows it to its end."""
        return self.wait(self.start(selection, **request))

    def versions(self, *assets: str) -> dict[str, str]:
        """Data version by unit."""
        found: dict[str, str] = {}
        for asset in assets:
            for each in self.http.get(f"/assets/{asset}/partitions", params={"limit": 1000}).json()["partitions"]:
                found[f"{asset}@{each['partition']}"] = each["data_version"]
        return found
