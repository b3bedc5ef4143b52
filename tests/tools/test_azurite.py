"""Azurite under our hands: ports, saving, and what is said when it cannot start."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from obstore.store import AzureStore

from tools.stack import Azurite, StackError
from tools.stack import azurite as module
from tools.stack.azurite import ACCOUNT, ACCOUNT_KEY, answers

pytestmark = pytest.mark.e2e


def ports_of(azurite: Azurite) -> tuple[int, int, int]:
    return azurite.endpoints.blob, azurite.endpoints.queue, azurite.endpoints.table


def store(azurite: Azurite) -> AzureStore:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        if not any(each.name == "kept" for each in service.list_containers()):
            service.create_container("kept")
    endpoint = f"http://127.0.0.1:{azurite.endpoints.blob}/{ACCOUNT}"
    return AzureStore("kept", account_name=ACCOUNT, account_key=ACCOUNT_KEY, endpoint=endpoint, client_options={"allow_http": True})


def test_all_three_services_answer_beside_another_azurite_and_stop_frees_the_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Azurite.start(log=tmp_path / "1.log") as first:
        ports = ports_of(first)
        assert all(map(answers, ports))
        assert f"QueueEndpoint=http://127.0.0.1:{ports[1]}/devstoreaccount1;" in first.connection_string
        with Azurite.start(log=tmp_path / "2.log", ports=ports) as second:
            assert set(ports).isdisjoint(ports_of(second))
        monkeypatch.setattr(module, "is_free", lambda _: True)  # a port lost at the last moment is not mistaken for ours
        with Azurite.start(log=tmp_path / "3.log", ports=ports) as third:
            assert set(ports).isdisjoint(ports_of(third))
        monkeypatch.undo()
    assert not any(map(answers, ports))
    with Azurite.start(log=tmp_path / "4.log", ports=ports) as fourth:
        assert fourth.endpoints == first.endpoints


def test_what_was_written_a_moment_before_the_stop_is_there_again(tmp_path: Path) -> None:
    with Azurite.start(log=tmp_path / "1.log", location=tmp_path / "data") as azurite:
        store(azurite).put("last words", b"kept")
    with Azurite.start(log=tmp_path / "2.log", location=tmp_path / "data") as azurite:
        assert bytes(store(azurite).get("last words").bytes()) == b"kept"


def test_a_death_is_noticed(tmp_path: Path) -> None:
    with Azurite.start(log=tmp_path / "azurite.log") as azurite:
        os.kill(azurite.child.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while azurite.child.exit_code is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert azurite.child.how_it_ended() == "killed by SIGKILL"


def test_a_checkout_without_set_up_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^Azurite \(the storage emulator\) is not installed in this checkout\. Run `make setup`\.$"):
        Azurite.start(log=tmp_path / "azurite.log", checkout=tmp_path)


def test_a_store_it_cannot_use_is_told_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__azurite_db_blob__.json").mkdir()
    with pytest.raises(StackError, match=r"^Azurite \(the storage emulator\) did not start: exit code \d+\.\n    "):
        Azurite.start(log=tmp_path / "azurite.log", location=tmp_path / "data")
