"""Every public function of ezomero, called on the embedded server."""

import io
import re
from pathlib import Path

import ezomero
import ezomero.rois
import numpy as np
import omero
import pytest
import tifffile
from omero.gateway import ScreenWrapper, TagAnnotationWrapper

from tests.embedded import images

XYZCT = np.arange(6 * 5 * 4 * 3 * 2, dtype="u2").reshape(6, 5, 4, 3, 2)
FLY = Path(__file__).parent.parent / "data" / "fly"


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """Nobody is there to answer questions, and the home folder of whoever runs the tests is left alone."""
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def dataset(omero_conn):
    return ezomero.post_dataset(omero_conn, "a dataset")


@pytest.fixture
def image(omero_conn, dataset):
    return ezomero.post_image(omero_conn, XYZCT, "an image", dataset_id=dataset)


@pytest.fixture
def plate(omero_server, omero_user):
    """A plate of two wells in a screen."""
    pattern = r"01_(?P<well>POS\d+)_(?P<channel>[DFR])\.TIF"
    return omero_server.import_plate(FLY, pattern=pattern, name="Fly", user=omero_user.name, screen="Flies")


def test_every_function_is_called_here():
    called = set(re.findall(r"ezomero\.(\w+)\(", Path(__file__).read_text()))
    assert set(ezomero.__all__) - called == set()


# -- connections


def test_connect(omero_server, omero_user, tmp_path, capsys, monkeypatch):
    for name in ("USER", "PASS", "GROUP", "HOST", "PORT", "SECURE"):
        monkeypatch.delenv(f"OMERO_{name}", raising=False)
    server = {"host": omero_server.host, "port": omero_server.port, "secure": True}
    ezomero.store_connection_params(omero_user.name, omero_user.group, config_path=str(tmp_path), **server)
    assert "Connection settings saved" in capsys.readouterr().out
    conn = ezomero.connect(password=omero_user.password, config_path=str(tmp_path))
    assert conn.getUser().getName() == omero_user.name
    assert conn.getGroupFromContext().getName() == omero_user.group
    conn.close()


def test_groups(omero_server, connect, make_user, capsys):
    user, other = make_user(), make_user()
    core = omero_server.core
    with core.store.lock:
        second = core.accounts.add_group(f"second of {user.name}", "rw----")
        core.accounts.add_member(core.accounts.user(user.name), second)
    conn = connect(user)
    assert ezomero.get_group_id(conn, user.group) == user.group_id
    assert ezomero.get_group_id(conn, "no such group") is None
    assert ezomero.get_user_id(conn, user.name) == user.id
    assert ezomero.get_user_id(conn, other.name) is None  # nobody of the caller's group
    assert ezomero.set_group(conn, other.group_id) is False
    assert ezomero.set_group(conn, second.id) is True
    there = ezomero.post_dataset(conn, "there")
    assert conn.getObject("Dataset", there).getDetails().group.id.val == second.id
    assert ezomero.set_group(conn, user.group_id) is True
    assert ezomero.get_dataset_ids(conn, across_groups=False) == []
    assert ezomero.get_dataset_ids(conn) == [there]
    ezomero.print_groups(conn)
    assert f"{user.group}: {user.group_id}\tmember" in capsys.readouterr().out


# -- containers


def test_projects_and_datasets(omero_conn, capsys):
    project = ezomero.post_project(omero_conn, "a project", description="about it")
    inside = ezomero.post_dataset(omero_conn, "inside", project_id=project, description="d")
    orphan = ezomero.post_dataset(omero_conn, "orphan")
    assert ezomero.get_project_ids(omero_conn) == [project]
    assert ezomero.get_dataset_ids(omero_conn, project=project) == [inside]
    assert ezomero.get_dataset_ids(omero_conn) == [orphan]
    ezomero.print_projects(omero_conn)
    ezomero.print_datasets(omero_conn, project=project)
    ezomero.print_datasets(omero_conn)
    assert capsys.readouterr().out.splitlines() == [
        "Projects:", f"\ta project:\t{project}", 'Datasets in Project "a project":', f"\tinside:\t{inside}",
        "Orphaned Datsets:", f"\torphan:\t{orphan}",
    ]  # fmt: skip
    ezomero.link_datasets_to_project(omero_conn, [orphan], project)
    assert sorted(ezomero.get_dataset_ids(omero_conn, project=project)) == [inside, orphan]
    ezomero.put_description(omero_conn, "Project", project, "changed")
    assert omero_conn.getObject("Project", project).getDescription() == "changed"


def test_plates_and_wells(omero_conn, plate):
    (screen,) = ezomero.get_screen_ids(omero_conn)
    assert ezomero.get_plate_ids(omero_conn, screen=screen) == [plate.plate_id]
    assert ezomero.get_plate_ids(omero_conn) == []
    wells = ezomero.get_well_ids(omero_conn, plate=plate.plate_id)
    assert wells == ezomero.get_well_ids(omero_conn, screen=screen)
    assert ezomero.get_well_id(omero_conn, plate.plate_id, row=0, column=1) in wells
    assert ezomero.get_well_id(omero_conn, plate.plate_id, row=7, column=1) is None
    runs = ezomero.get_plate_acquisition_ids(omero_conn, plate=plate.plate_id)
    assert [a.getId() for a in omero_conn.getObject("Plate", plate.plate_id).listPlateAcquisitions()] == runs
    assert sorted(ezomero.get_image_ids(omero_conn, plate=plate.plate_id)) == sorted(plate.image_ids)
    of_wells = [ezomero.get_image_ids(omero_conn, well=w) for w in wells]
    assert sorted(i for (i,) in of_wells) == sorted(plate.image_ids)
    new = ezomero.post_screen(omero_conn, "a screen", description="d")
    ezomero.link_plates_to_screen(omero_conn, [plate.plate_id], new)
    assert sorted(ezomero.get_screen_ids(omero_conn)) == sorted([screen, new])
    assert isinstance(omero_conn.getObject("Screen", new), ScreenWrapper)
    assert ezomero.get_plate_ids(omero_conn, screen=new) == [plate.plate_id]


# -- images


def test_images(omero_conn, dataset, image):
    found, pixels = ezomero.get_image(omero_conn, image, xyzct=True)
    assert found.getName() == "an image"
    np.testing.assert_array_equal(pixels, XYZCT)
    np.testing.assert_array_equal(ezomero.get_image(omero_conn, image)[1], XYZCT.transpose(4, 2, 1, 0, 3))
    part = {"start_coords": (1, 2, 3, 0, 1), "axis_lengths": (3, 2, 1, 2, 1), "xyzct": True}
    np.testing.assert_array_equal(ezomero.get_image(omero_conn, image, **part)[1], XYZCT[1:4, 2:4, 3:4, 0:2, 1:2])
    with pytest.raises(IndexError):
        ezomero.get_image(omero_conn, image, start_coords=(5, 0, 0, 0, 0), axis_lengths=(3, 1, 1, 1, 1))
    padded = ezomero.get_image(
        omero_conn, image, start_coords=(5, 0, 0, 0, 0), axis_lengths=(3, 1, 1, 1, 1), pad=True, dim_order="xyzct"
    )
    assert padded[1].ravel().tolist() == [XYZCT[5, 0, 0, 0, 0], 0, 0]
    assert ezomero.get_image_ids(omero_conn, dataset=dataset) == [image]
    other = ezomero.post_image(omero_conn, XYZCT.transpose(4, 3, 2, 1, 0), "turned", dim_order="tczyx")
    np.testing.assert_array_equal(ezomero.get_image(omero_conn, other, xyzct=True)[1], XYZCT)
    assert ezomero.get_image_ids(omero_conn) == [other]
    ezomero.link_images_to_dataset(omero_conn, [other], dataset)
    assert sorted(ezomero.get_image_ids(omero_conn, dataset=dataset)) == [image, other]


def test_files_of_images(omero_conn, omero_user, image, importer, tmp_path):
    (result,) = importer(images.three(tmp_path)[0])
    first, *_, last = result.image_ids
    (path,) = ezomero.get_original_filepaths(omero_conn, first)
    assert re.fullmatch(rf"{omero_user.name}_{omero_user.id}/\d{{4}}-\d\d/\d\d/[\d.-]+/three\.ome\.tiff", path)
    client_paths = ezomero.get_original_filepaths(omero_conn, first, fpath="client")
    assert client_paths == [str(tmp_path / "three.ome.tiff")]
    assert (ezomero.get_series_index(omero_conn, last), ezomero.get_series_index(omero_conn, image)) == (2, -1)
    assert ezomero.filter_by_filename(omero_conn, [image, last], "three.ome.tiff") == [last]


def test_pyramids(omero_conn, image, importer, tmp_path):
    path, large = tmp_path / "pyramid.ome.tif", images.slope(300, 500)
    options = {"tile": (64, 128), "photometric": "minisblack"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(large, subifds=1, metadata={"axes": "YX"}, **options)
        writer.write(large[::2, ::2], subfiletype=1, **options)
    (result,) = importer(path)
    (id,) = result.image_ids
    assert ezomero.get_pyramid_levels(omero_conn, id) == [(500, 300), (250, 150)]
    assert ezomero.get_pyramid_levels(omero_conn, image) == [(6, 5)]
    smaller = ezomero.get_image(omero_conn, id, pyramid_level=1, dim_order="tczyx")[1]
    np.testing.assert_array_equal(smaller[0, 0, 0], large[::2, ::2])


def test_import_without_the_java_importer(omero_conn, tmp_path, capfd):
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((4, 4), "u1"))
    assert ezomero.ezimport(omero_conn, str(path), dataset="new", clientdir=str(tmp_path)) is None
    assert "No JAR files found" in capfd.readouterr().err
    assert ezomero.get_image_ids(omero_conn) == []


# -- annotations


def test_map_annotations(omero_conn, dataset, image, capsys):
    pairs = {"species": "fly", "tags": ["a", "b"]}
    id = ezomero.post_map_annotation(omero_conn, "Image", image, pairs, "ns/one")
    other = ezomero.post_map_annotation(omero_conn, "Image", image, {"k": 1}, "ns/two")
    assert ezomero.get_map_annotation(omero_conn, id) == pairs
    assert sorted(ezomero.get_map_annotation_ids(omero_conn, "Image", image)) == [id, other]
    assert ezomero.get_map_annotation_ids(omero_conn, "Image", image, ns="ns/two") == [other]
    ezomero.put_map_annotation(omero_conn, other, {"k": "changed"}, ns="ns/three")
    assert ezomero.get_map_annotation(omero_conn, other) == {"k": "changed"}
    assert ezomero.filter_by_kv(omero_conn, [image, 10**6], "species", "fly") == [image]
    assert ezomero.filter_by_kv(omero_conn, [image], "species", "mouse") == []
    capsys.readouterr()
    ezomero.print_map_annotation(omero_conn, other)
    assert capsys.readouterr().out == f"Map Annotation: {other}\nNamespace: ns/three\nKey-Value Pairs:\n\tk:\tchanged\n"
    assert ezomero.get_image_ids(omero_conn, annotation=id) == [image]


def test_tags(omero_conn, image):
    tag = TagAnnotationWrapper(omero_conn)
    tag.setValue("good")
    omero_conn.getObject("Image", image).linkAnnotation(tag)
    (id,) = ezomero.get_tag_ids(omero_conn, "Image", image)
    assert ezomero.get_tag(omero_conn, id) == "good"
    assert ezomero.filter_by_tag_value(omero_conn, [image, 10**6], "good") == [image]
    assert ezomero.filter_by_tag_value(omero_conn, [image], "bad") == []


def test_comments(omero_conn, dataset):
    id = ezomero.post_comment_annotation(omero_conn, "Dataset", dataset, "well done", "ns")
    assert ezomero.get_comment_annotation_ids(omero_conn, "Dataset", dataset, ns="ns") == [id]
    assert ezomero.get_comment_annotation(omero_conn, id) == "well done"


def test_attachments(omero_conn, dataset, tmp_path):
    path, folder = tmp_path / "notes.txt", tmp_path / "down"
    path.write_bytes(bytes(range(256)) * 20_000)
    folder.mkdir()
    id = ezomero.post_file_annotation(omero_conn, str(path), "ns", "Dataset", dataset, description="d")
    assert ezomero.get_file_annotation_ids(omero_conn, "Dataset", dataset, ns="ns") == [id]
    copy = Path(ezomero.get_file_annotation(omero_conn, id, str(folder)))
    assert (copy.name, copy.read_bytes()) == ("notes.txt", path.read_bytes())
    assert omero_conn.getObject("FileAnnotation", id).getFile().getMimetype() == "text/plain"


def test_tables(omero_conn, dataset, tmp_path):
    table = [["name", "count", "area", "good"], ["one", 1, 0.5, True], ["second", 22, 1.5, False]]
    id = ezomero.post_table(omero_conn, table, "Dataset", dataset, title="measurements")
    frame = ezomero.get_table(omero_conn, id)  # of pandas, which napari brings
    assert [list(frame.columns), *frame.values.tolist()] == table
    assert omero_conn.getObject("FileAnnotation", id).getFile().getName() == "measurements"
    path = tmp_path / "no table.txt"
    path.write_text("nothing")
    assert ezomero.get_table(omero_conn, ezomero.post_file_annotation(omero_conn, str(path), "ns")) is None


# -- ROIs


def test_rois(omero_conn, image):
    style = {"label": "here", "fill_color": (1, 2, 3, 4), "stroke_color": (250, 200, 150, 100), "stroke_width": 2.0}
    shapes = [
        ezomero.rois.Point(1.5, 2.5, z=1, t=0, c=2, **style),
        ezomero.rois.Line(0.0, 1.0, 4.0, 5.0, markerStart="Arrow", markerEnd="Arrow", **style),
        ezomero.rois.Rectangle(1.0, 2.0, 3.0, 4.0, z=3, **style),
        ezomero.rois.Ellipse(3.0, 3.0, 2.0, 1.0, t=1, **style),
        ezomero.rois.Polygon([(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)], **style),
        ezomero.rois.Polyline([(0.0, 0.0), (3.0, 0.0), (0.0, 3.0)], **style),
        ezomero.rois.Label(
            1.0, 1.0, "text", 12.0, stroke_width=1.0, fill_color=(0, 0, 0, 0), stroke_color=(9, 9, 9, 9)
        ),
    ]
    roi = ezomero.post_roi(omero_conn, image, shapes, name="cell", description="d")
    assert ezomero.get_roi_ids(omero_conn, image) == [roi]
    ids = sorted(ezomero.get_shape_ids(omero_conn, roi))
    assert sorted(map(repr, (ezomero.get_shape(omero_conn, i) for i in ids))) == sorted(map(repr, shapes))
    assert omero_conn.getObject("Roi", roi).getName() == "cell"


def test_others_do_not_see_private_things(connect, make_user, omero_conn, dataset, image):
    stranger = connect(make_user())
    assert ezomero.get_image_ids(stranger, dataset=dataset) == []
    assert ezomero.get_image(stranger, image) == (None, None)
    assert ezomero.post_map_annotation(stranger, "Image", image, {"k": "v"}, "ns") is None
    with pytest.raises((omero.SecurityViolation, omero.ValidationException)):
        ezomero.link_images_to_dataset(stranger, [image], dataset)
