"""How quick and how large the embedded OMERO is: start-up, memory, a plate of 384 wells, 16 clients at once.

Run it with ``python bench/embedded.py [--json FILE]``; it takes less than a minute. The limits are the project's own.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import omero
from omero.gateway import BlitzGateway
from omero.rtypes import rint, rstring

# What OMERO.web and BlitzGateway ask for when they show a plate; the parameter is the plate's id.
QUERIES = {
    "wells with fields and images": """
        select w from Well w left outer join fetch w.wellSamples ws left outer join fetch ws.image
        where w.plate.id = :id order by w.column, w.row""",
    "grid of one field": """
        select w.row, w.column, i.id, i.name, w.id from Well w join w.wellSamples ws join ws.image i
        where w.plate.id = :id and index(ws) = 0""",
    "images of the plate": """
        select i.id from Plate p join p.wells w join w.wellSamples ws join ws.image i where p.id = :id""",
    "number of wells": """
        select count(distinct w) from Well w left outer join w.wellSamples ws where w.plate.id = :id""",
    "images in no dataset and no well": """
        select count(i.id) from Image i where not exists (select l from DatasetImageLink l where l.child = i.id)
        and not exists (select ws from WellSample ws where ws.image = i.id)""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="as without: it is quick anyway")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    args = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        process, login, figures["start_s"] = start(Path(folder))
        try:
            figures["empty_mb"] = memory(process.pid)
            conn = BlitzGateway(login["user"], login["password"], host=login["host"], port=login["port"])
            conn.connect()
            plate, figures["save_plate_s"] = save_plate(conn)
            for name, hql in QUERIES.items():
                figures[f"query {name}"] = best_of(5, lambda hql=hql: query(conn, hql, plate))
            figures["slowest_query_s"] = max(v for k, v in figures.items() if k.startswith("query "))
            figures["clients_s"], errors = clients(login)
            figures["client_errors"] = errors
            figures["full_mb"] = memory(process.pid)
            conn.close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    limits = {"start_s": 2, "empty_mb": 120, "save_plate_s": 2, "slowest_query_s": 0.2, "client_errors": 0}
    for name, value in figures.items():
        limit = f"  limit {limits[name]}" if name in limits else ""
        print(f"{name:42} {value:10.3f}{limit}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def start(folder: Path) -> tuple[subprocess.Popen, dict, float]:
    """A server in a process of its own, how to log in, and seconds until it was ready."""
    ready = folder / "ready.json"
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "embedded_omero", "--port", "0", "--tcp-port", "0", "--ready-file", str(ready)],
        stdout=subprocess.DEVNULL,
    )
    while not ready.exists():
        if process.poll() is not None:
            sys.exit("the embedded OMERO did not start")
        time.sleep(0.005)
    return process, json.loads(ready.read_text()), time.perf_counter() - begin


def memory(pid: int) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def save_plate(conn: BlitzGateway) -> tuple[int, float]:
    """A plate of 16 x 24 wells with four images each, in one call: its id and the seconds it took."""
    plate = omero.model.PlateI()
    plate.name, plate.rows, plate.columns = rstring("bench"), rint(16), rint(24)
    for row in range(16):
        for column in range(24):
            well = omero.model.WellI()
            well.row, well.column = rint(row), rint(column)
            for field in range(4):
                sample, image = omero.model.WellSampleI(), omero.model.ImageI()
                image.name = rstring(f"{row} {column} {field}")
                sample.image = image
                well.addWellSample(sample)
            plate.addWell(well)
    begin = time.perf_counter()
    saved = conn.getUpdateService().saveAndReturnObject(plate, conn.SERVICE_OPTS)
    return saved.id.val, time.perf_counter() - begin


def query(conn: BlitzGateway, hql: str, plate: int) -> None:
    params = omero.sys.ParametersI().addId(plate)
    service = conn.getQueryService()
    (service.findAllByQuery if "join fetch" in hql else service.projection)(hql, params, conn.SERVICE_OPTS)


def best_of(times: int, work) -> float:
    durations = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        durations.append(time.perf_counter() - begin)
    return min(durations)


def clients(login: dict, number: int = 16) -> tuple[float, int]:
    """So many gateways at once, each with a little work: seconds and how many failed."""
    failed = []

    def work() -> None:
        try:
            conn = BlitzGateway(login["user"], login["password"], host=login["host"], port=login["port"])
            conn.connect()
            for _ in range(5):
                list(conn.getObjects("Plate"))
            conn.close()
        except Exception as exc:
            failed.append(exc)

    threads = [threading.Thread(target=work) for _ in range(number)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin, len(failed)


if __name__ == "__main__":
    main()
