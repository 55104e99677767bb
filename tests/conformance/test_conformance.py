"""The embedded OMERO answers as OMERO.server 5.6.12 did."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PYTHON = [sys.executable, "-W", "ignore", "-m"]
# Cases of each area which are answered as recorded, of all cases. What is missing: a list of scripts in no order, for
# which a server must have several.
FLOORS = {
    "ezomero": (3, 3),
    "files": (17, 17),
    "gateway": (14, 14),
    "hql": (137, 137),
    "permissions": (19, 19),
    "pixels": (17, 17),
    "scripts": (17, 18),
    "sessions": (22, 22),
}


@pytest.fixture(scope="module")
def login(tmp_path_factory):
    """How to log in to a fresh server process."""
    ready = tmp_path_factory.mktemp("server") / "ready.json"
    server = subprocess.Popen(
        [*PYTHON, "embedded_omero", "--port", "0", "--tcp-port", "0", "--ready-file", str(ready)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with server:
        try:
            assert server.stdout.readline(), "the server did not start"
            yield json.loads(ready.read_text())
        finally:
            server.terminate()


@pytest.fixture(scope="module", params=[0, 50], ids=["fresh", "after 50 random cases"])
def results(request, login, tmp_path_factory):
    """Counts by area and differences by case; what was asked before must not show."""
    report = tmp_path_factory.mktemp("conformance") / "report.json"
    runner = subprocess.run(
        [*PYTHON, "embedded_omero.conformance", "--host", login["host"], "--port", str(login["port"]), "--user",
         login["user"], "--password-env", "CONFORMANCE_PASSWORD", "--cases", str(HERE), "--json", str(report),
         "--stir", str(request.param)],
        env={**os.environ, "CONFORMANCE_PASSWORD": login["password"]},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
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
