"""Run_Pipeline.py in a real processor: plates in, results out, compared with what scikit-image makes of the files."""

import argparse
import csv
import io

import numpy as np
import omero
import pytest
import scipy.ndimage
import skimage.filters
import skimage.measure
import tifffile
from omero.rtypes import rstring

from bootstrap._cli import launch_outputs
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.masks import label_image
from openhcs_core.omero.provenance import NAMESPACE, read_run
from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.omero.rerun_command import add_command
from openhcs_core.omero.session import gateway
from openhcs_core.plugins import presets
from tests.data.make import HERE
from tests.omero.plates import PlateField, write_plate
from tests.scripts.runs import failed

MIN_AREA = 30
PIPELINE = f"""
from openhcs_core.pipeline import PLATE, FunctionStep, StepOutput
from openhcs_functions.labelling import connected_components, keep_by_area
from openhcs_functions.measurement import measure_objects
from openhcs_functions.smoothing import gaussian
from openhcs_functions.thresholds import threshold
from openhcs_functions.watershed import seeded_watershed

pipeline_steps = [
    FunctionStep((gaussian, {{"sigma": 1.0}}), name="smooth", save=True),
    FunctionStep(
        [threshold, connected_components, (keep_by_area, {{"min_area": {MIN_AREA}}})],
        name="nuclei",
        input_source=PLATE,
        select={{"channel": [1]}},
    ),
    FunctionStep(
        (seeded_watershed, {{"seeds": StepOutput("nuclei")}}),
        name="cells",
        input_source=PLATE,
        select={{"channel": [2]}},
    ),
    FunctionStep(
        (measure_objects, {{"labels": StepOutput("nuclei")}}),
        name="measure",
        input_source=PLATE,
        select={{"channel": [1]}},
    ),
]
"""
SMOOTH = """
from openhcs_core.pipeline import FunctionStep
from openhcs_functions.smoothing import gaussian
pipeline_steps = [FunctionStep(gaussian, name="smooth")]
"""


@pytest.fixture
def script(scripts_by_path):
    """Id of the registered script."""
    return scripts_by_path["/openhcs/pipeline_scripts/Run_Pipeline.py"]


@pytest.fixture(scope="module")
def fly():
    """Drosophila Kc167 cells: planes (C, Y, X) of two positions: DNA, then two other stains."""
    return {
        well: np.stack([tifffile.imread(HERE / "fly" / f"01_POS{position}_{stain}.TIF") for stain in "DFR"])
        for well, position in (("A01", "002"), ("B03", "076"))
    }


@pytest.fixture
def plate(omero_server, omero_user, tmp_path, fly):
    """Id of a plate of these cells, a field per well."""
    wells = {
        (0, 0): [PlateField(fly["A01"][None, :, None], (0, 0), channels=("DNA", "actin"))],
        (1, 2): [PlateField(fly["B03"][None, :, None], (0, 0), channels=("DNA", "actin"))],
    }
    (result,) = omero_server.import_files([write_plate(tmp_path / "fly.ome.tif", wells, "Kc167")], user=omero_user.name)
    return result.plate_id


def images_of(plate):
    """Images by name of the well."""
    return {f"{well.getWellPos()[0]}{int(well.getWellPos()[1:]):02}": well.getImage(0) for well in plate.listChildren()}


def labels_on(conn, image, name):
    """Label image of the masks of a step on an image."""
    rois = conn.getRoiService().findByImage(image.getId(), None, conn.SERVICE_OPTS).rois
    masks = [shape for roi in rois if roi.name.val.startswith(f"{name} ") for shape in roi.copyShapes()]
    return label_image(masks, (image.getSizeY(), image.getSizeX()))


def expected_nuclei(plane):
    """What the pipeline does, by scikit-image."""
    labels = skimage.measure.label(plane > skimage.filters.threshold_otsu(plane), connectivity=1)
    large = [found.label for found in skimage.measure.regionprops(labels) if found.area >= MIN_AREA]
    return np.where(np.isin(labels, large), labels, 0)


def attached(conn, target, name):
    """Content of an attached file."""
    (found,) = (
        annotation for annotation in conn.getObject(*target).listAnnotations(NAMESPACE)
        if hasattr(annotation, "getFile") and annotation.getFile().getName() == name
    )  # fmt: skip
    return b"".join(found.getFileInChunks()).decode()


def plates_of(conn):
    return {plate.getName(): plate for plate in conn.getObjects("Plate")}


@pytest.fixture
def attach(omero_conn, tmp_path):
    """Function which attaches a text to nothing; gives the id of its file annotation."""

    def make(text):
        path = tmp_path / "pipeline.py"
        path.write_text(text, encoding="utf-8")
        return omero_conn.createFileAnnfromLocalFile(str(path)).getId()

    return make


def test_fly_cells(cli, script, export, attach, plate, fly, omero_conn):
    """By ``omero script launch``; all that comes out is read back and compared."""
    conn = gateway(omero_conn.c)
    run = cli.run("script", "launch", str(script), f"IDs={plate}", f"File_Annotation={attach(PIPELINE)}", "Workers=2")
    assert run.returncode == 0, run.stderr
    outputs = launch_outputs(run.stdout)
    wanted = {well: expected_nuclei(planes[0]) for well, planes in fly.items()}
    count = sum(len(np.unique(labels)) - 1 for labels in wanted.values())
    assert count > 50
    derived = plates_of(conn)["Kc167 smooth"]
    assert outputs["Message"].startswith(f"Plate:{plate}: 2 wells: 2 finished in ")
    assert f"Plate:{derived.getId()} (Kc167 smooth): 2 images." in outputs["Message"]
    assert f"{count} objects of 'nuclei' as masks on their images." in outputs["Message"]
    assert outputs["Plate"] == f"Plate:{derived.getId()}"
    table = conn.getObject("FileAnnotation", int(outputs["File_Annotation"].partition(":")[2]))
    assert table.getFileName() == "measure.csv"

    sources = images_of(conn.getObject("Plate", plate))
    for well, image in images_of(derived).items():
        smooth = np.stack([RawPixels(conn, image).read(0, c, 0, 1, 0, 256)[0] for c in range(3)])
        blurred = scipy.ndimage.gaussian_filter(fly[well].astype(float), (0, 1, 1))
        assert np.abs(smooth - blurred).max() <= 1
        assert image.getChannelLabels() == ["DNA", "actin", "DNA"]
        assert image.getPixelSizeX() == 0.5
        nuclei, cells = (labels_on(conn, sources[well], name) for name in ("nuclei", "cells"))
        assert np.array_equal(nuclei > 0, wanted[well] > 0)
        assert len(np.unique(nuclei)) == len(np.unique(wanted[well]))
        assert np.array_equal(np.unique(cells), np.unique(nuclei))
        assert np.array_equal(cells[nuclei > 0], nuclei[nuclei > 0])

    rows = list(csv.DictReader(io.StringIO(attached(conn, ("Plate", plate), "measure.csv"))))
    assert len(rows) == count
    for well, labels in wanted.items():
        measured = sorted((int(row["AreaPx"]), float(row["MeanIntensity"])) for row in rows if row["Well Name"] == well)
        objects = skimage.measure.regionprops(labels, fly[well][0])
        assert np.allclose(measured, sorted((found.area, found.intensity_mean) for found in objects))
        assert {row["Image"] for row in rows if row["Well Name"] == well} == {str(sources[well].getId())}
    (bulk,) = conn.getObject("Plate", plate).listAnnotations("openmicroscopy.org/omero/bulk_annotations")
    table = conn.c.sf.sharedResources().openTable(bulk._obj.file, conn.SERVICE_OPTS)
    assert table.getNumberOfRows() == count
    table.close()

    (number,) = (found.getId() for found in derived.listAnnotations(NAMESPACE))
    known = read_run(conn, number)
    assert (known.pipeline, known.source, known.wells) == (PIPELINE, f"Plate:{plate}", ("A01", "B03"))
    log = attached(conn, ("Plate", plate), f"Plate {plate} log.txt")
    assert "A01: finished" in log
    assert PIPELINE in log

    again = export(IDs=[plate], Pipeline_Text=PIPELINE)
    assert again.code == 0
    assert "2 wells: 2 were finished before" in again.message
    assert len(plates_of(conn)) == 2


def test_results_are_made_again_from_their_annotation(
    export, plate, omero_conn, omero_server, monkeypatch, capsys, tmp_path
):
    conn = gateway(omero_conn.c)
    assert export(IDs=[plate], Pipeline_Text=PIPELINE, Wells=["B03"], Save_Masks=False).code == 0
    first = plates_of(conn)["Kc167 smooth"]
    (number,) = (found.getId() for found in first.listAnnotations(NAMESPACE))
    monkeypatch.setenv("KEY", omero_conn.c.getSessionId())
    main = command()
    login = ["--server", omero_server.host, "--port", str(omero_server.port), "--session-key-env", "KEY"]
    assert main(["rerun", "--from-annotation", str(number), "--show", *login]) == 0
    assert capsys.readouterr().out == (
        f"# Plate:{plate}, wells B03, started {read_run(conn, number).started}\n{PIPELINE.strip()}\n"
    )
    assert main(["rerun", "--from-annotation", str(number), *login]) == 0
    assert capsys.readouterr().out.startswith("1 wells: 1 finished")
    made = [found for found in conn.getObjects("Plate") if found.getName() == "Kc167 smooth"]
    assert len(made) == 2
    pixels = [RawPixels(conn, images_of(found)["B03"]).read(0, 0, 0, 1, 0, 256) for found in made]
    assert np.array_equal(*pixels)
    source = images_of(conn.getObject("Plate", plate))["B03"]
    assert conn.getRoiService().findByImage(source.getId(), None, conn.SERVICE_OPTS).rois == []
    with pytest.raises(OmeroError, match="there is no map annotation 999999 that you may see"):
        main(["rerun", "--from-annotation", "999999", *login])


def command():
    """``openhcs rerun`` as a function of its arguments; returns its exit status."""
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())

    def main(arguments):
        options = parser.parse_args(arguments)
        return options.action(options)

    return main


def test_a_preset_on_a_well_and_a_file_on_a_dataset(
    export, attach, plate, fly, omero_conn, omero_server, omero_user, tmp_path
):
    conn = gateway(omero_conn.c)
    (well,) = (found for found in conn.getObject("Plate", plate).listChildren() if found.getWellPos() == "A1")
    run = export(Data_Type="Well", IDs=[well.getId()], Pipeline="nuclei")
    assert run.code == 0, run.message
    assert run.message.startswith(f"Well:{well.getId()}: 1 wells: 1 finished")
    counts = list(csv.DictReader(io.StringIO(attached(conn, ("Plate", plate), "counts.csv"))))
    nuclei = labels_on(conn, images_of(conn.getObject("Plate", plate))["A01"], "nuclei")
    assert [row["ObjectCount"] for row in counts] == [str(len(np.unique(nuclei)) - 1)]

    tifffile.imwrite(tmp_path / "one.tif", fly["A01"][0])
    (result,) = omero_server.import_files([tmp_path / "one.tif"], user=omero_user.name, dataset="Growth")
    (dataset,) = (found for found in conn.getObjects("Dataset") if found.getName() == "Growth")
    run = export(Data_Type="Dataset", IDs=[dataset.getId()], File_Annotation=str(attach(SMOOTH)))
    assert run.code == 0, run.message
    made = conn.getObject("Dataset", run.outputs["Dataset"].id.val)
    assert made.getName() == "Growth smooth"
    assert [image.getName() for image in made.listChildren()] == ["one.tif"]
    assert run.outputs["File_Annotation"].file.name.val == f"Dataset {dataset.getId()} log.txt"


def test_a_well_that_fails_does_not_stop_the_others(export, omero_server, omero_user, omero_conn, fly, tmp_path):
    conn = gateway(omero_conn.c)
    paths = []
    for name in ("first", "second"):
        paths.append(tmp_path / f"{name}.tif")
        tifffile.imwrite(paths[-1], fly["A01"][0])
    omero_server.import_files(paths, user=omero_user.name, dataset="Two")
    (dataset,) = (found for found in conn.getObjects("Dataset") if found.getName() == "Two")
    (stored,) = omero_server.core.repositories.managed.rglob(f"{omero_user.name}_*/**/second.tif")
    content = stored.read_bytes()
    stored.unlink()
    inputs = {"Data_Type": "Dataset", "IDs": [dataset.getId()], "Pipeline_Text": SMOOTH}
    run = export(**inputs)
    failed_well = f"Dataset:{dataset.getId()} A02 failed: "
    assert run.code == 1
    assert run.message.startswith(failed_well)
    assert "the server has no pixels for it" in run.message
    assert "2 wells: 1 finished, 1 failed" in run.message
    assert "not finished, and left out: A02. Start the same run again to complete it" in run.message
    assert "Traceback" in run.stderr
    (image,) = conn.getObject("Dataset", run.outputs["Dataset"].id.val).listChildren()
    assert image.getName() == "first.tif"

    stored.write_bytes(content)
    again = export(**inputs)
    assert again.code == 0, again.message
    assert "2 wells: 1 finished, 1 were finished before" in again.message
    assert again.outputs["Dataset"].id.val == run.outputs["Dataset"].id.val
    made = conn.getObject("Dataset", run.outputs["Dataset"].id.val)
    assert sorted(image.getName() for image in made.listChildren()) == ["first.tif", "second.tif"]


def test_all_that_makes_no_sense_is_told_before_anything_is_computed(export, plate, omero_conn):
    wrong = SMOOTH + (
        'pipeline_steps.append(FunctionStep(gaussian, name="smooth"))\n'
        'pipeline_steps.append(FunctionStep(gaussian, name="more", select={"channel": [9]}, save_to=("disk",)))\n'
    )
    run = export(IDs=[plate, 999999], Pipeline_Text=wrong)
    failed(run, "smooth", "channel 9", "There is no backend 'disk'", "Plate:999999 does not exist")
    failed(export(IDs=[plate], Pipeline_Text="import os\nos.system('true')"), "line 1, column 1")
    failed(export(IDs=[plate], File_Annotation="999999"), "FileAnnotation:999999 does not exist")
    assert list(omero_conn.getObjects("MapAnnotation")) == []
    assert len(list(omero_conn.getObjects("Plate"))) == 1


def test_without_rights_nothing_is_computed(export, plate, omero_user, omero_server, make_user, connect, tmp_path, fly):
    owner = make_user(level="rwr---")
    path = write_plate(tmp_path / "theirs.ome.tif", {(0, 0): [PlateField(fly["A01"][None, :, None])]})
    (result,) = omero_server.import_files([path], user=owner.name)
    run = export(connect(make_user(owner.group)), IDs=[result.plate_id], Pipeline_Text=SMOOTH)
    failed(run, f"You may not add results to Plate:{result.plate_id} of {owner.name}", "so nothing was computed")


def test_code_is_for_administrators_where_the_site_allows_it(export, plate, site, connect, omero_conn):
    code = "import math\n" + SMOOTH.replace("gaussian, name", '(gaussian, {"sigma": math.sqrt(4)}), name')
    site("trusted_pipelines = true")
    failed(export(IDs=[plate], Pipeline_Text=code), "line 1, column 1")
    allowed = export(connect(), IDs=[plate], Pipeline_Text=code)
    assert allowed.code == 0, allowed.message
    site()
    failed(export(connect(), IDs=[plate], Pipeline_Text=code), "line 1, column 1")


def test_the_script_offers_the_presets(script, omero_conn):
    params = omero_conn.getScriptService().getParams(script)
    offered = [value.val for value in params.inputs["Pipeline"].values.val]
    assert sorted(offered) == sorted(presets())
    assert params.inputs["File_Annotation"].prototype == rstring("")
    assert isinstance(params.outputs["Plate"].prototype, omero.RObject)
