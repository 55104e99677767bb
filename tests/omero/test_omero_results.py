"""The backend omero_local: results on their way home."""

import csv
import io
from dataclasses import replace

import numpy as np
import omero
import pytest
from omero.rtypes import rstring

from openhcs_backends.omero_local import OMEROLocalBackend
from openhcs_core.omero.login import Login
from openhcs_core.omero.masks import label_image
from openhcs_core.omero.provenance import NAMESPACE, find_run, read_run
from openhcs_core.omero.session import gateway
from openhcs_core.plate import PlaneAddress
from openhcs_core.storage.backend import Results, StorageError
from tests.omero.plates import PlateField, write_plate
from tests.omero.run_results import derived, everything, fields_of, labels, made, read_image, save_all


def test_all_that_a_run_gives(home, begin, conn, plate):
    results = begin(who="a test")
    assert save_all(home, results) == [
        f"Plate:{derived(conn, 'P flat').getId()} (P flat): 3 images",
        "6 objects of 'nuclei' as masks on their images",
        "measure.csv: 18 rows",
        "measure: OMERO.table of 18 rows",
    ]
    sources, found = fields_of(conn.getObject("Plate", plate)), fields_of(derived(conn, "P flat"))
    assert found.keys() == sources.keys()
    for (well, site), image in found.items():
        source = sources[well, site]
        assert image.getName() == source.getName()
        assert f"Image:{source.getId()}" in image.getDescription()
        assert image.getChannelLabels() == source.getChannelLabels() == ["DAPI", "GFP"]
        colors = [[channel.getColor().getRGB() for channel in shown.getChannels()] for shown in (image, source)]
        assert colors[0] == colors[1]
        assert (image.getPixelSizeX(), image.getPixelSizeY(), image.getPixelSizeZ()) == (0.5, 0.5, None)
        wanted = np.stack([made(PlaneAddress(well, site, c))[None] for c in (1, 2)])
        assert np.array_equal(read_image(conn, image.getId()), wanted)
        rois = conn.getRoiService().findByImage(source.getId(), None, conn.SERVICE_OPTS).rois
        for z in range(3):
            masks = [shape for roi in rois for shape in roi.copyShapes() if shape.theZ.val == z]
            assert np.array_equal(label_image(masks, (40, 50)), labels(PlaneAddress(well, site)))
        assert {roi.name.val for roi in rois} == {f"nuclei {site}", "nuclei 300"}


def test_tables_are_attached_with_ids(home, begin, conn, plate):
    save_all(home, begin())
    sources = {place: image.getId() for place, image in fields_of(conn.getObject("Plate", plate)).items()}
    target = conn.getObject("Plate", plate)
    (attached,) = (found for found in target.listAnnotations(NAMESPACE) if hasattr(found, "getFile"))
    assert attached.getFile().getName() == "measure.csv"
    rows = list(csv.DictReader(io.StringIO(b"".join(attached.getFileInChunks()).decode())))
    assert len(rows) == 18
    wells = {well.getWellPos(): str(well.getId()) for well in target.listChildren()}
    for row in rows:
        well = row["Well Name"]
        assert row["Plate"] == str(plate)
        assert row["Plate Name"] == "P"
        assert row["Well"] == wells[f"{well[0]}{int(well[1:])}"]
        assert row["Image"] == str(sources[well, int(row["Site"])])
    assert [(row["Label"], row["Area"]) for row in rows] == [("1", "300.0"), ("300", "56.0")] * 9
    (bulk,) = target.listAnnotations("openmicroscopy.org/omero/bulk_annotations")
    table = conn.c.sf.sharedResources().openTable(bulk._obj.file, conn.SERVICE_OPTS)
    columns = {column.name: list(column.values) for column in table.read(list(range(9)), 0, 18).columns}
    table.close()
    assert columns == {name: [kind(row[name]) for row in rows] for name, kind in zip(
        ["Plate", "Well", "Image", "Plate Name", "Well Name", "Site", "Z", "Label", "Area"],
        [int, int, int, str, str, int, int, int, float], strict=True,
    )}  # fmt: skip


def test_the_annotation_tells_how_to_make_it_again(home, begin, conn, plate):
    save_all(home, begin(who="a test"))
    run = find_run(conn, "run")
    assert (run.pipeline, run.source, run.wells) == ("pipeline_steps = []", f"Plate:{plate}", ("A01", "B03"))
    assert run.started <= run.finished
    assert run.facts["who"] == "a test"
    assert run.results["images of flat"] == f"Plate:{derived(conn, 'P flat').getId()}"
    new = derived(conn, "P flat")
    for target in [conn.getObject("Plate", plate), new, *fields_of(new).values()]:
        (number,) = (found.getId() for found in target.listAnnotations(NAMESPACE) if not hasattr(found, "getFile"))
        assert read_run(conn, number) == run


def test_images_of_another_size_get_their_masks_themselves(home, begin, conn):
    """A mosaic: one plane for a well, larger than a field."""
    results = begin()
    mosaic = np.arange(40 * 90).reshape(40, 90).astype("f4")
    objects = (mosaic > 3000).astype("u1")
    with home.open_results(results) as writer:
        path = PlaneAddress("A01").path
        writer.save_batch([mosaic], [path], step_name="mosaic")
        writer.save_batch([objects], [path], step_name="objects", kind="labels")
        writer.save_batch([objects[:20, :20]], [path], step_name="parts", kind="labels")
        writer.save_table({"Plate": ["P"], "Well": ["A01"], "Channel": [1], "n": [1]}, "A01", step_name="count")
        writer.finish_well("A01")
        writer.finish(["A01"])
    image = fields_of(derived(conn, "P mosaic"))["A01", 1]
    assert np.array_equal(read_image(conn, image.getId())[0, 0], mosaic)
    assert image.getPixelSizeX() == 0.5
    (roi,) = conn.getRoiService().findByImage(image.getId(), None, conn.SERVICE_OPTS).rois
    assert np.array_equal(label_image(roi.copyShapes(), (40, 90)), objects)
    parts = fields_of(derived(conn, "P parts labels"))["A01", 1]
    assert np.array_equal(read_image(conn, parts.getId())[0, 0], objects[:20, :20])
    assert parts.getPixelSizeX() is None


def test_masks_of_a_projection_are_on_all_sections(home, begin, conn, plate):
    results = begin()
    address = PlaneAddress("B03")
    with home.open_results(results) as writer:
        writer.save_batch([labels(address)], [address.path], step_name="flat", kind="labels")
        writer.finish_well("B03")
    image = fields_of(conn.getObject("Plate", plate))["B03", 1]
    shapes = [s for roi in conn.getRoiService().findByImage(image.getId(), None).rois for s in roi.copyShapes()]
    assert [shape.theZ for shape in shapes] == [None, None]
    assert np.array_equal(label_image(shapes, (40, 50)), labels(address))


def test_planes_of_several_sizes_are_no_image(home, begin):
    results = begin()
    with home.open_results(results) as writer:
        for channel, height in ((1, 20), (2, 30)):
            path = PlaneAddress("A01", 1, channel).path
            writer.save_batch([np.zeros((height, 20), "u1")], [path], step_name="odd")
        with pytest.raises(StorageError, match="Step 'odd' gives planes of several sizes in field 1"):
            writer.finish_well("A01")


def test_a_dataset(home, import_tiff, omero_conn, conn, voxels):
    dataset = omero.model.DatasetI()
    dataset.name = rstring("Growth")
    dataset = omero_conn.getUpdateService().saveAndReturnObject(dataset)
    for number in range(2):
        link = omero.model.DatasetImageLinkI()
        link.parent = omero.model.DatasetI(dataset.id.val, False)
        image = import_tiff(voxels(40, 50) + number, f"{number}.tif")
        link.child = omero.model.ImageI(image.getId(), False)
        omero_conn.getUpdateService().saveObject(link)
    location = f"Dataset:{dataset.id.val}"
    with home.open_plate(location) as plate:
        results = Results(location, plate.layout, "pipeline_steps = []", "run")
    save_all(home, results, ["A01", "A02"])
    (made_of,) = (found for found in conn.getObjects("Dataset") if found.getName() == "Growth flat")
    assert sorted(image.getName() for image in made_of.listChildren()) == ["0.tif", "1.tif"]
    names = [found.getFile().getName() for found in conn.getObject("Dataset", dataset.id.val).listAnnotations()
             if hasattr(found, "getFile")]  # fmt: skip
    assert sorted(names) == ["measure.csv", "measure.h5"]


def test_only_some_outputs(omero_conn, begin, conn):
    home = OMEROLocalBackend(Login.of(omero_conn.c), ["tables"])
    before = everything(conn)
    save_all(home, begin())
    found = everything(conn)
    assert (found["Image"], found["Roi"], found["Plate"]) == (before["Image"], 0, before["Plate"])
    assert found["FileAnnotation"] == 2
    assert find_run(conn, "run-tables").facts["Outputs"] == "tables"


@pytest.mark.parametrize("level", ["rwr---", "rwra--"])
def test_rights_are_asked_for_first(level, omero_server, make_user, connect, begin, tmp_path, voxels):
    owner = make_user(level=level)
    path = write_plate(tmp_path / "theirs.ome.tif", {(0, 0): [PlateField(voxels(1, 1, 1, 40, 50))]})
    (result,) = omero_server.import_files([path], user=owner.name)
    colleague = connect(make_user(owner.group))
    conn = gateway(colleague.c)
    home = OMEROLocalBackend(Login.of(colleague.c))
    results = begin(f"Plate:{result.plate_id}", backend=home)
    if level == "rwra--":
        save_all(home, results, ["A01"])
        assert derived(conn, "P flat").getDetails().getGroup().getId() == owner.group_id
        return
    with pytest.raises(StorageError) as caught:
        home.open_results(results)
    assert str(caught.value) == (
        f"You may not add results to Plate:{result.plate_id} of {owner.name} in the group '{owner.group}', so nothing "
        "was computed. Ask its owner or the leader of the group, or work on a copy of your own."
    )
    assert everything(conn)["MapAnnotation"] == 0


def test_results_of_a_plate_from_elsewhere(home, begin, tmp_path):
    results = begin()
    with pytest.raises(StorageError, match="takes results of plates in OMERO only"):
        home.open_results(replace(results, layout=replace(results.layout, source_ids={})))
    with pytest.raises(StorageError, match="is no place in OMERO"):
        home.open_results(replace(results, location=str(tmp_path)))


def test_no_room_in_the_scratch_folder(home, begin, tmp_path, monkeypatch):
    settings = tmp_path / "openhcs.toml"
    settings.write_text(f'scratch = "{tmp_path}/nowhere"\n')
    monkeypatch.setenv("OPENHCS_CONFIG", str(settings))
    with pytest.raises(StorageError, match="cannot be kept in the scratch folder .*nowhere: No such file or directory"):
        home.open_results(begin())
