"""The embedded OMERO answers as OMERO.server 5.6.12 did."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Cases of each area which are answered as recorded, of all cases. What is missing: the event log, and the order in which
# scripts are listed.
FLOORS = {
    "ezomero": (3, 3),
    "files": (17, 17),
    "gateway": (14, 14),
    "hql": (136, 137),
    "permissions": (19, 19),
    "pixels": (17, 17),
    "scripts": (17, 18),
    "sessions": (22, 22),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Counts by area and differences by case; asked of a fresh server process."""
    folder = tmp_path_factory.mktemp("conformance")
    ready, report = folder / "ready.json", folder / "report.json"
    quiet = [sys.executable, "-W", "ignore", "-m"]
    server = subprocess.Popen(
        [*quiet, "embedded_omero", "--port", "0", "--tcp-port", "0", "--ready-file", str(ready)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with server:
        try:
            assert server.stdout.readline(), "the server did not start"
            login = json.loads(ready.read_text())
            runner = subprocess.run(
                [*quiet, "embedded_omero.conformance", "--host", login["host"], "--port", str(login["port"]), "--user",
                 login["user"], "--password-env", "CONFORMANCE_PASSWORD", "--cases", str(HERE), "--json", str(report)],
                env={**os.environ, "CONFORMANCE_PASSWORD": login["password"]},
                capture_output=True, text=True, timeout=240,
            )  # fmt: skip
        finally:
            server.terminate()
    print(runner.stdout, runner.stderr)
    assert report.exists(), runner.stderr
    return json.loads(report.read_text())


@pytest.mark.parametrize("area", FLOORS)
def test_floor(results, area):
    counts, (floor, total) = results["areas"][area], FLOORS[area]
    different = {name: lines for name, lines in results["different"].items() if name.startswith(f"{area}/")}
    assert sum(counts.values()) == total
    assert counts["pass"] >= floor, json.dumps(different, indent=1)


def test_every_area_has_a_floor(results):
    assert results["areas"].keys() == FLOORS.keys()
