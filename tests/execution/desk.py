"""A program: somebody at a desk, who runs a pipeline on a server elsewhere and sees it in napari."""

from __future__ import annotations

import json
import sys
import time

from omero.gateway import BlitzGateway

from openhcs_core.execution.remote import DirectorySink, RemoteOrchestrator, ViewerSink

PATIENCE_S = 60.0


def main() -> None:
    """Do what the line on the standard input says, and tell what came of it."""
    wanted = json.loads(sys.stdin.readline())
    login = wanted["login"]
    conn = BlitzGateway(login["user"], login["password"], host=login["host"], port=login["port"])
    assert conn.connect()
    napari, folder = ViewerSink("napari", wanted["port"]), DirectorySink(wanted["images"])
    events = []
    remote = RemoteOrchestrator(wanted["server"], omero_conn=conn)
    execution = remote.run_remote_pipeline(
        wanted["plate"], wanted["text"], sink=[napari, folder], progress=events.append
    )
    limit = time.monotonic() + PATIENCE_S
    state = napari.visualizer.state()
    while state is None or state.displayed < state.received:
        assert time.monotonic() < limit, state
        time.sleep(0.05)
        state = napari.visualizer.state()
    told = {
        "execution": execution.table(),
        "napari": {"received": state.received, "displayed": state.displayed, "address": napari.visualizer.address},
        "wells": [event.item for event in events],
        "log": remote.logs(execution.execution_id),
    }
    print(json.dumps(told), flush=True)
    sys.stdin.readline()
    napari.visualizer.stop()
    conn.close()


if __name__ == "__main__":
    main()
