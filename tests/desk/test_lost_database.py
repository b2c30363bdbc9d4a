"""A desk whose PostgreSQL ends its connections goes on, and it needs few of them."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg

from hf_gate.base.ids import Repo
from hf_gate.desk.decisions.background_worker import BackgroundWorker
from hf_gate.messages.service.message_sending import drain_workspace
from hf_gate.testing import LocalHub
from tests.kits.desk import GOOD, open_desk
from tests.kits.desk_actions import create_plan
from tests.kits.machines import (
    POLICY,
    DeskProgram,
    Machines,
    ask,
    count_moves,
    own_server,
    restart_server,
    wait_for_moves,
)
from tests.kits.stores import count_connections, end_connections, new_schema


def test_pages_clicks_tray_sync_and_notices_work_after_all_connections_ended(tmp_path: Path, postgres_uri: str) -> None:
    place = new_schema(postgres_uri)
    with open_desk(tmp_path, config=f"store: {place}\n") as desk:
        desk.ask([{"username": "ada"}, {"username": "bob"}], {"Purpose": GOOD})
        worker = BackgroundWorker(desk.app_state, lambda: [desk.repo])
        lena = desk.visitor()
        for name in ("ada", "bob"):
            assert lena.get("/queue").status == 200
            row = desk.row(name)
            values = {"verb": "accept", "key": row.state.hub_request or "", "version": row.version.token}
            assert end_connections(place)
            assert lena.post("/tray", values).status == 303
            assert end_connections(place)
            assert lena.get("/tray").status == 200
            assert end_connections(place)
            desk.send_due()
            found = desk.app_state.workspace.hub.find(desk.repo, name)
            assert found is not None
            assert found.status == "accepted"
            assert end_connections(place)
            worker.sync_repos()
            assert desk.app_state.sync_status.problem is None
            assert end_connections(place)
            drain_workspace(desk.app_state.workspace)
            assert lena.get("/readyz").status == 200


def test_thirty_plans_leave_no_connections(tmp_path: Path, postgres_uri: str) -> None:
    place = new_schema(postgres_uri)
    with open_desk(tmp_path, config=f"store: {place}\n") as desk:
        desk.ask([{"username": "ada", "email": "ada@ethz.ch"}], {"Purpose": GOOD})
        lena = desk.visitor()
        before = count_connections(place)
        for _ in range(30):
            assert lena.get(create_plan(desk, lena)).status == 200
        assert count_connections(place) <= before + 7  # six threads for pages, and the thread of the last plan


def test_a_running_desk_outlives_a_restart_of_its_database(tmp_path: Path) -> None:
    # not in pytest's folders, which the user of the server may not enter
    with (
        tempfile.TemporaryDirectory(prefix="hf-gate-pg-") as folder,
        own_server(Path(folder) / "database") as server,
        LocalHub(requests=0, repos=1) as hub,
        closing(Machines(hub, tmp_path, server.get_uri())) as machines,
    ):
        machines.make("one", POLICY.replace("then: accept", "then: human"))
        ask(hub, ["ada", "bob"])
        machines.run("one", "sync")
        desk = DeskProgram(machines, "one", hold="0s")
        desk.sign_in()
        shown = desk.read_queue()
        assert len(shown) == 2
        for number, row in enumerate(shown, 1):
            restart_server(server)
            assert len(desk.read_queue()) >= 1
            assert desk.accept([row]) == 1
            wait_for_moves(machines, number)
        assert count_moves(hub) == {"ada": 1, "bob": 1}


def test_the_sync_of_a_desk_goes_on_after_the_store_could_not_be_read(tmp_path: Path, postgres_uri: str) -> None:
    place = new_schema(postgres_uri)
    schema = place.rpartition("%3D")[2]
    away, has_synced = f"{schema}_away", threading.Event()

    def rename(before: str, after: str) -> None:
        with psycopg.connect(postgres_uri, autocommit=True) as connection:
            connection.execute(f"ALTER SCHEMA {before} RENAME TO {after}".encode())

    with open_desk(tmp_path, config=f"store: {place}\n") as desk:
        status = desk.app_state.sync_status

        def list_repos() -> list[Repo]:
            """In the first sync, the store goes away."""
            if status.next_at is None:
                rename(schema, away)
            else:
                has_synced.set()
            return [desk.repo]

        worker = BackgroundWorker(desk.app_state, list_repos)
        worker.start()
        end = time.monotonic() + 30
        while status.next_at is None and time.monotonic() < end:
            time.sleep(0.02)
        rename(away, schema)
        worker.request_sync()
        assert has_synced.wait(30)
        worker.stop()
