"""The 22 scripts of omero-scripts, as they are, on the embedded server: each is run and its result is checked."""

from __future__ import annotations

import ast
import os
import sys

import omero.gateway as gateway
import pytest

from tests.embedded import script_objects as objects
from tests.embedded import script_pixels as pixels
from tests.embedded.script_world import FOLDER, Scripts, World

# Make_Movie starts this program; here it packs the frames which it is given instead of encoding them.
MENCODER = f"""#!{sys.executable}
import sys, zipfile
with zipfile.ZipFile(sys.argv[sys.argv.index("-o") + 1], "w") as movie:
    for name in sys.argv[1].removeprefix("mf://").split(","):
        movie.write(name)
"""


# Script, what it is given, what must come out.
CASES = [
    ("analysis_scripts/Kymograph.py", pixels.kymograph_inputs, pixels.kymograph_check),
    ("analysis_scripts/Kymograph_Analysis.py", pixels.analysis_inputs, pixels.analysis_check),
    ("analysis_scripts/Plot_Profile.py", pixels.profile_inputs, pixels.profile_check),
    ("annotation_scripts/Convert_KeyVal_namespace.py", objects.convert_inputs, objects.convert_check),
    ("annotation_scripts/Export_to_csv.py", objects.export_inputs, objects.export_check),
    ("annotation_scripts/Import_from_csv.py", objects.import_inputs, objects.import_check),
    ("annotation_scripts/Remove_KeyVal.py", objects.remove_inputs, objects.remove_check),
    ("export_scripts/Batch_Image_Export.py", pixels.batch_inputs, pixels.batch_check),
    ("export_scripts/Batch_Image_Export.py", pixels.tiff_inputs, pixels.tiff_check),
    ("export_scripts/Batch_ROI_Export.py", pixels.statistics_inputs, pixels.statistics_check),
    ("export_scripts/Make_Movie.py", pixels.movie_inputs, pixels.movie_check),
    ("figure_scripts/Movie_Figure.py", pixels.movie_figure_inputs, pixels.movie_figure_check),
    ("figure_scripts/Movie_ROI_Figure.py", pixels.movie_roi_inputs, pixels.movie_roi_check),
    ("figure_scripts/ROI_Split_Figure.py", pixels.roi_split_inputs, pixels.roi_split_check),
    ("figure_scripts/Split_View_Figure.py", pixels.split_view_inputs, pixels.split_view_check),
    ("figure_scripts/Thumbnail_Figure.py", pixels.thumbnail_inputs, pixels.thumbnail_check),
    ("import_scripts/Populate_Metadata.py", objects.metadata_inputs, objects.metadata_check),
    ("import_scripts/Populate_ROI.py", objects.measurement_inputs, objects.measurement_check),
    ("util_scripts/Channel_Offsets.py", pixels.offsets_inputs, pixels.offsets_check),
    ("util_scripts/Combine_Images.py", pixels.combine_inputs, pixels.combine_check),
    ("util_scripts/Dataset_To_Plate.py", objects.plate_inputs, objects.plate_check),
    ("util_scripts/Images_From_ROIs.py", pixels.crop_inputs, pixels.crop_check),
    ("util_scripts/Move_Annotations.py", objects.move_inputs, objects.move_check),
]


@pytest.fixture(scope="module")
def log_in(omero_server):
    opened = []

    def make(name, password):
        conn = gateway.BlitzGateway(name, password, host=omero_server.host, port=omero_server.port)
        assert conn.connect()
        opened.append(conn)
        return conn

    yield make
    for conn in opened:
        conn.close()


@pytest.fixture(scope="module")
def scripts(omero_server, log_in):
    uploaded = Scripts(log_in(omero_server.user, omero_server.password))
    yield uploaded
    uploaded.remove()


@pytest.fixture(scope="module")
def world(omero_server, make_user, log_in, tmp_path_factory):
    programs = tmp_path_factory.mktemp("programs")
    (programs / "mencoder").write_text(MENCODER)
    (programs / "mencoder").chmod(0o755)
    user = make_user()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        yield World(omero_server, user, log_in(user.name, user.password))


def test_every_script_has_a_case():
    installed = {f"{p.parent.name}/{p.name}" for p in FOLDER.glob("*_scripts/*.py") if p.name != "__init__.py"}
    assert len(installed) == 22
    assert {case[0] for case in CASES} == installed


@pytest.mark.parametrize(("script", "inputs_for", "check"), CASES, ids=[check.__name__[:-6] for *_, check in CASES])
def test_script(world, scripts, script, inputs_for, check):
    parameters = scripts.upload(script)
    assert parameters.inputs.keys() == declared(script)
    inputs = inputs_for(world)
    run = scripts.run(world.conn, script, inputs)
    assert run.code == 0, run.stderr
    check(world, inputs, run)


def declared(script: str) -> set[str]:
    """Names of the parameters in the text of a script: first arguments of ``scripts.String(...)`` and the like."""
    tree = ast.parse((FOLDER / script).read_text())
    constants = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)}

    def value(node: ast.expr) -> str:
        match node:
            case ast.Constant(value=str(found)):
                return found
            case ast.BinOp(left=left, right=right):
                return value(left) + value(right)
        return value(constants[node.id])

    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute))
    return {
        value(n.args[0])
        for n in calls
        if isinstance(n.func.value, ast.Name) and n.func.value.id == "scripts" and n.func.attr[0].isupper()
    }
