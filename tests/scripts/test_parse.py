"""What OMERO reads of a script without running it: quickly, everywhere, and without surprises."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openhcs_core import __version__
from openhcs_core.imaris.compression import PRESETS
from openhcs_core.omero.request import DELIVERIES
from openhcs_core.omero.selection import DATA_TYPES, LAYOUTS
from openhcs_core.omero.stream_job import WAIT_S

SCRIPTS = sorted(p for p in Path(__file__).parents[2].joinpath("omero_scripts").rglob("*.py") if p.stat().st_size)
HEAVY = ("h5py", "zmq", "scipy", "skimage", "tifffile", "zarr", "cupy", "napari", "jpype", "dask", "openhcs_core")

PARSE = """
import json, sys
from omero.rtypes import unwrap
import omero.scripts
params = omero.scripts.parse_file(sys.argv[1])
def told(param):
    value = param.prototype
    return {"kind": type(value).__name__, "grouping": param.grouping, "optional": param.optional,
            "default": unwrap(value) if param.useDefault else None, "values": unwrap(param.values),
            "item": type(value.val[0]).__name__ if type(value).__name__ == "RListI" else None,
            "text": param.description}
print(json.dumps({"name": params.name, "version": params.version, "description": params.description,
                  "inputs": {name: told(param) for name, param in params.inputs.items()},
                  "outputs": sorted(params.outputs), "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """Every script as a fresh interpreter parses it."""
    folder = tmp_path_factory.mktemp("omero")
    found = {}
    for path in SCRIPTS:
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PARSE, path],
            capture_output=True,
            text=True,
            env={**os.environ, "OMERO_TMPDIR": str(folder), "OMERO_USERDIR": str(folder)},
        )
        assert run.returncode == 0, run.stderr
        found[path] = json.loads(run.stdout)
    return found


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def params(parsed, request):
    return parsed[request.param]


def test_nothing_heavy_is_imported(params):
    assert [name for name in params["modules"] if name.partition(".")[0] in HEAVY] == []


def test_the_menu_shows_it_well(params):
    inputs = params["inputs"]
    groupings = [param["grouping"] for param in inputs.values()]
    assert all(re.fullmatch(r"\d\d(\.\d)?", grouping) for grouping in groupings), "sorted as text"
    assert sorted(groupings) == groupings
    assert len(set(groupings)) == len(groupings)
    for name, param in inputs.items():
        assert param["text"], f"{name} is not described"
        if param["kind"] == "RBoolI":
            assert param["optional"], f"{name}: OMERO.web sends it always"
        if param["values"]:
            assert param["kind"] == "RStringI"
            assert param["default"] in param["values"]
        if param["kind"] == "RListI":
            assert param["item"], f"{name}: without a type its entries would be texts"
        assert not set("=,") & set(str(param["default"])), f"{name}: the command line cannot pass it"


def test_selection(params):
    data_type, ids = params["inputs"]["Data_Type"], params["inputs"]["IDs"]
    assert (data_type["kind"], ids["kind"], ids["item"]) == ("RStringI", "RListI", "RLongI")


def test_the_guide_tells_every_parameter_and_output(params):
    guide = Path(__file__).parents[2].joinpath("docs", "operator-guide.md").read_text(encoding="utf-8")
    assert [name for name in (*params["inputs"], *params["outputs"]) if f"`{name}`" not in guide] == []


def test_version(params):
    assert __version__.startswith(params["version"])


def test_ims_export_offers_what_the_library_does(parsed):
    params = next(params for path, params in parsed.items() if path.name == "IMS_Export.py")
    assert params["name"] == "IMS_Export.py"
    choices = {name: tuple(param["values"]) for name, param in params["inputs"].items() if param["values"]}
    assert choices == {
        "Data_Type": DATA_TYPES,
        "Layout": tuple(LAYOUTS),
        "Delivery": DELIVERIES,
        "Compression": PRESETS,
    }
    assert params["inputs"]["Image_ID"]["kind"] == "RLongI"
    assert params["inputs"]["Reuse_Export"]["default"] is True
    assert params["outputs"] == ["Export_Name", "Export_Path", "File_Annotation", "Message"]


def test_the_scripts_that_show_images_offer_the_same(parsed):
    inputs = {path.name: params["inputs"] for path, params in parsed.items()}
    shared = ("Viewer_Address", "Viewer_Key")
    kinds = {
        name: {key: inputs[name][key]["kind"] for key in shared} for name in ("Run_Pipeline.py", "Stream_To_Viewer.py")
    }
    assert kinds["Run_Pipeline.py"] == kinds["Stream_To_Viewer.py"] == dict.fromkeys(shared, "RStringI")
    stream, export = inputs["Stream_To_Viewer.py"], inputs["IMS_Export.py"]
    assert set(stream["Data_Type"]["values"]) == set(DATA_TYPES)
    for name in ("Channels", "First_Z", "Last_Z", "First_T", "Last_T"):
        assert {**stream[name], "grouping": ""} == {**export[name], "grouping": ""}
    assert stream["Wait_Seconds"]["default"] == WAIT_S
