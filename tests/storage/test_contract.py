"""What every backend that takes and gives planes has to do; a backend of a plugin can be put to it, too."""

import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openhcs_core.plate import PlaneAddress, PlateChannel
from openhcs_core.storage import FileManager, StorageError
from tests.storage.plates import BACKENDS, CHANNELS, PLANES, POSITIONS, VOXEL, pixels, plate, results, save

#: Where results of a step are opened again as a plate.
IMAGES = {"memory": "{}/{}", "disk": "{}/{}", "zarr": "{}/{}.zarr"}
LABELS = {"memory": "{}/{}/labels", "disk": "{}/{}/labels", "zarr": "{}/{}.zarr"}
IN_FOLDERS = ["disk", "zarr"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    return BACKENDS[request.param]()


@pytest.fixture(params=IN_FOLDERS)
def folder_backend(request):
    return BACKENDS[request.param]()


def opened_again(backend, folder, step, kind="image"):
    return backend.open_plate((IMAGES if kind == "image" else LABELS)[backend.name].format(folder, step))


def table_of(backend, folder, step):
    """Lines of a table as CSV."""
    if backend.name == "memory":
        table = backend.tables[f"{folder}/{step}"]
        rows = zip(*table.values(), strict=True)
        return [",".join(table)] + [",".join("" if item is None else str(item) for item in row) for row in rows]
    return (folder / f"{step}.csv").read_text().splitlines()


def test_planes_come_back_with_all_that_is_known_of_the_plate(backend, tmp_path):
    source = plate()
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        for well in source.layout.wells:
            save(writer, source, "blur", well)
            writer.finish_well(well)
        assert writer.finished_wells() == {"B03", "A10"}
        assert any("blur" in statement for statement in writer.finish(source.layout.wells))
    with opened_again(backend, tmp_path, "blur") as again:
        assert again.layout.planes == source.layout.planes
        assert again.layout.wells == ["A10", "B03"]
        assert (again.layout.size_yx, again.layout.dtype) == ((30, 40), np.dtype("uint16"))
        assert (tuple(again.layout.channels), again.layout.voxel_size_um) == (CHANNELS, VOXEL)
        for key in POSITIONS:
            assert again.layout.positions_um[key] == POSITIONS[key]
        for address, plane in zip(PLANES, again.read(PLANES), strict=True):
            np.testing.assert_array_equal(plane, pixels(address))
            assert plane.flags.owndata
            assert plane.flags.writeable
        with pytest.raises(StorageError, match="no plane C01_s001_w1_z001_t001"):
            again.read([PlaneAddress("C01")])


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int16", "uint32", "int64", "float32", ">f8"])
def test_the_type_is_kept(backend, dtype, tmp_path):
    addresses = [PlaneAddress("A01"), PlaneAddress("A01", z_index=2)]
    source = plate(addresses)
    planes = [pixels(address, (300, 270), dtype) for address in addresses]
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        writer.save_batch(planes, [address.path for address in addresses], step_name="a")
        writer.finish_well("A01")
        writer.finish(["A01"])
    with opened_again(backend, tmp_path, "a") as again:
        assert again.layout.dtype == np.dtype(dtype).newbyteorder("=")
        for plane, saved in zip(again.read(addresses), planes, strict=True):
            assert plane.dtype == again.layout.dtype
            np.testing.assert_array_equal(plane, saved)


def test_numbers_that_are_none_are_left_out(folder_backend, tmp_path):
    source = plate([PlaneAddress("A01")])
    channels = [PlateChannel('"\x7f\n\\ é 😀', None, (0.0, np.inf)), PlateChannel("", (0.5, 1.0, 0.0))]
    layout = dataclasses.replace(source.layout, channels=channels, positions_um={("A01", 1): (np.nan, 0.0)})
    with folder_backend.open_results(results(tmp_path, layout)) as writer:
        save(writer, source, "a", "A01")
        writer.finish_well("A01")
        writer.finish(["A01"])
    with opened_again(folder_backend, tmp_path, "a") as again:
        assert [channel.name for channel in again.layout.channels] == [channels[0].name, ""]
        assert again.layout.channels[0].window is None
        assert again.layout.positions_um == {}


def test_positions_are_kept_where_the_size_of_pixels_is_not_known(folder_backend, tmp_path):
    source = plate()
    layout = dataclasses.replace(source.layout, voxel_size_um=(1.5, None, None))
    with folder_backend.open_results(results(tmp_path, layout)) as writer:
        for well in layout.wells:
            save(writer, source, "a", well)
            writer.finish_well(well)
        writer.finish(layout.wells)
    with opened_again(folder_backend, tmp_path, "a") as again:
        assert (again.layout.voxel_size_um, again.layout.positions_um) == ((1.5, None, None), POSITIONS)


def test_labels_and_images_of_one_step(backend, tmp_path):
    source = plate([PlaneAddress("A01"), PlaneAddress("A01", 2)])
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        save(writer, source, "nuclei", "A01")
        save(writer, source, "nuclei", "A01", "labels", "int32")
        save(writer, source, "cells", "A01", "labels", "int64")
        writer.finish_well("A01")
        writer.finish(["A01"])
    with (
        opened_again(backend, tmp_path, "nuclei") as images,
        opened_again(backend, tmp_path, "cells", "labels") as cells,
    ):
        assert (images.layout.dtype, cells.layout.dtype) == (np.dtype("uint16"), np.dtype("int64"))
        for address in source.layout.planes["A01"]:
            np.testing.assert_array_equal(images.read([address])[0], pixels(address))
            np.testing.assert_array_equal(cells.read([address])[0], pixels(address))


def test_a_well_in_blocks_and_planes_that_are_not_all_of_the_plate(backend, tmp_path):
    """Such as a projection of one channel, of which a site has nothing."""
    source = plate()
    kept = [PlaneAddress("B03", 1, 2, 2, 1), PlaneAddress("B03", 2, 2, 2, 2), PlaneAddress("A10", 2, 1, 1, 1)]
    kept.append(kept[1]._replace(channel=1, timepoint=1))
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        for address in kept:
            writer.save_batch([pixels(address)], [address.path], step_name="mip")
        for well in source.layout.wells:
            writer.finish_well(well)
        writer.finish(source.layout.wells)
    with opened_again(backend, tmp_path, "mip") as again:
        assert again.layout.planes == {"A10": kept[2:3], "B03": sorted([kept[0], kept[1], kept[3]])}
        for address, plane in zip(kept, again.read(kept), strict=True):
            np.testing.assert_array_equal(plane, pixels(address))


def test_tables_are_in_the_order_of_wells_with_the_columns_of_all(backend, tmp_path):
    source = plate()
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        writer.save_table({"Well": ["B03"], "Area": np.array([1.5])}, "B03", step_name="sizes")
        writer.save_table({"Well": ["B03"], "Area": [2]}, "B03", step_name="sizes")
        writer.save_table({"Well": ["A10"], "Name": ["a"]}, "A10", step_name="sizes")
        writer.finish_well("B03")
        writer.finish_well("A10")
        writer.finish(["A10", "B03"])
    assert table_of(backend, tmp_path, "sizes") == ["Well,Name,Area", "A10,a,", "B03,,1.5", "B03,,2"]


def test_a_well_begun_anew_replaces_what_there_was(backend, tmp_path):
    source = plate()
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        save(writer, source, "a", "B03")
        writer.save_table({"n": [1, 2]}, "B03", step_name="t")
        writer.begin_well("B03")
        address = PlaneAddress("B03")
        for value in (1, 2):
            writer.save_batch([np.full((5, 6), value)], [address.path], step_name="a")
            writer.save_table({"n": [value]}, "B03", step_name="t")
            writer.finish_well("B03")
        writer.finish(["B03"])
    with opened_again(backend, tmp_path, "a") as again:
        assert again.layout.planes == {"B03": [address]}
        assert again.read([address])[0].tolist() == np.full((5, 6), 2).tolist()
    assert table_of(backend, tmp_path, "t") == ["n", "2"]


def test_what_is_not_finished_is_not_seen_and_named(folder_backend, tmp_path):
    source = plate()
    with folder_backend.open_results(results(tmp_path, source.layout)) as writer:
        save(writer, source, "a", "B03")
        assert [path.name for path in tmp_path.iterdir()] == [".openhcs"]
        writer.finish_well("B03")
        save(writer, source, "a", "A10")
        statements = writer.finish(["A10", "B03"])
    assert any("not finished, and left out: A10" in statement for statement in statements)
    with opened_again(folder_backend, tmp_path, "a") as again:
        assert again.layout.wells == ["B03"]
    assert (tmp_path / "pipeline.py").read_text() == "pipeline_steps = []\n"
    assert '"B03"' in (tmp_path / "run.json").read_text()
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.glob(".openhcs/*/parts"))


def test_a_run_is_gone_on_with(folder_backend, tmp_path):
    source = plate()
    told = results(tmp_path, source.layout)
    with folder_backend.open_results(told) as writer:
        save(writer, source, "a", "B03")
        writer.save_table({"n": [1]}, "B03", step_name="t")
        writer.finish_well("B03")
        save(writer, source, "a", "A10", dtype="float32")  # and then it was interrupted
    with folder_backend.open_results(dataclasses.replace(told)) as writer:
        assert writer.finished_wells() == {"B03"}
        save(writer, source, "a", "A10")
        writer.save_table({"n": [2]}, "A10", step_name="t")
        writer.finish_well("A10")
        writer.finish(["A10", "B03"])
    with opened_again(folder_backend, tmp_path, "a") as again:
        assert again.layout.planes == source.layout.planes
    assert table_of(folder_backend, tmp_path, "t") == ["n", "2", "1"]


def test_another_run_replaces_the_results_but_nothing_else(folder_backend, tmp_path):
    source = plate()
    with folder_backend.open_results(results(tmp_path, source.layout)) as writer:
        for step in ("a", "b"):
            save(writer, source, step, "B03")
        writer.save_table({"n": [1]}, "B03", step_name="t")
        writer.finish_well("B03")
        save(writer, source, "b", "A10")
        writer.finish(["B03"])
    (tmp_path / "notes.txt").write_text("mine")
    mine = tmp_path / ("a" if folder_backend.name == "disk" else "a.zarr") / "mine.txt"
    mine.write_text("mine")
    with folder_backend.open_results(results(tmp_path, source.layout, "2")) as writer:
        assert writer.finished_wells() == set()
        left = {path for path in tmp_path.rglob("*") if ".openhcs" not in path.parts}
        assert left == {tmp_path / "notes.txt", mine.parent, mine}
        save(writer, source, "c", "A10")
        writer.finish_well("A10")
        assert any("were replaced" in statement for statement in writer.finish(["A10"]))
    with opened_again(folder_backend, tmp_path, "c") as again:
        assert again.layout.wells == ["A10"]


@pytest.mark.parametrize("step", ["Zellkerne (1) [ä] 50 %", "a.zarr", "核", "labels"])
def test_steps_of_any_name(backend, step, tmp_path):
    source = plate([PlaneAddress("B03")])
    with backend.open_results(results(tmp_path, source.layout)) as writer:
        for value in (1, 2):  # saved again
            save(writer, source, step, "B03")
            writer.save_table({"n": [value]}, "B03", step_name=step)
            writer.finish_well("B03")
        writer.finish(["B03"])
    with opened_again(backend, tmp_path, step) as again:
        np.testing.assert_array_equal(again.read([PlaneAddress("B03")])[0], pixels(PlaneAddress("B03")))
    assert table_of(backend, tmp_path, step) == ["n", "2"]


def test_foreign_files_are_never_overwritten(folder_backend, tmp_path):
    source = plate([PlaneAddress("B03")])
    target = tmp_path / ("a/B03_s001_w1_z001_t001.tif" if folder_backend.name == "disk" else "a.zarr/B/03")
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    with folder_backend.open_results(results(tmp_path, source.layout)) as writer:
        save(writer, source, "a", "B03")
        with pytest.raises(StorageError, match="is there already, and is no result of this run"):
            writer.finish_well("B03")
        assert writer.finished_wells() == set()
        (tmp_path / "sizes.csv").write_text("mine")
        writer.save_table({"n": [1]}, "C04", step_name="sizes")
        with pytest.raises(StorageError, match=r"sizes\.csv is there already"):
            writer.finish_well("C04")
    assert target.read_text() == (tmp_path / "sizes.csv").read_text() == "mine"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pipeline.py").write_text("mine")
    with pytest.raises(StorageError, match=r"holds a pipeline\.py of something else"):
        folder_backend.open_results(results(tmp_path / "other", source.layout))


def test_records_that_lead_elsewhere_remove_nothing(folder_backend, tmp_path):
    """A folder may come from anybody."""
    inside, outside = tmp_path / "results", tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine")
    with folder_backend.open_results(results(inside, plate().layout)) as writer:
        writer.finish_well("B03")
    (inside / "link").symlink_to(outside)
    record = inside / ".openhcs" / folder_backend.name / "wells" / "B03.json"
    record.write_text(
        json.dumps(["../outside", "../outside/mine.txt", "link/mine.txt", str(outside), "a/..", "", ".", 1])
    )
    folder_backend.open_results(results(inside, plate().layout, "2")).close()
    assert (outside / "mine.txt").read_text() == "mine"
    assert not record.exists()
    record.parent.joinpath("A10.json").write_text("no record at all")
    folder_backend.open_results(results(inside, plate().layout, "3")).close()


def test_two_runs_do_not_save_to_one_folder_at_a_time(folder_backend, tmp_path):
    source = plate([PlaneAddress("B03")])
    told = results(tmp_path, source.layout)
    with folder_backend.open_results(told) as writer:
        with pytest.raises(StorageError, match="Another run is saving"):
            folder_backend.open_results(results(tmp_path, source.layout, "2"))
        with folder_backend.open_results(told):  # the same run, twice in its parent
            pass
        with pytest.raises(StorageError, match="Another run is saving"):
            folder_backend.open_results(results(tmp_path, source.layout, "2"))
        save(writer, source, "a", "B03")
        writer.finish_well("B03")
        assert writer.finished_wells() == {"B03"}
    folder_backend.open_results(results(tmp_path, source.layout, "2")).close()


def test_a_worker_changes_nothing_that_the_parent_decides(backend, tmp_path):
    source = plate([PlaneAddress("B03")])
    elsewhere = results(tmp_path, source.layout, parent=f"another:{os.getpid()}")
    with pytest.raises(StorageError, match="not begun there by its parent|within one process"):
        backend.open_results(elsewhere)
    if backend.name == "memory":
        return
    with backend.open_results(results(tmp_path, source.layout)) as parent:
        with backend.open_results(elsewhere) as worker:
            save(worker, source, "a", "B03")
            worker.finish_well("B03")
        assert parent.finished_wells() == {"B03"}
        parent.finish(["B03"])
    with opened_again(backend, tmp_path, "a") as again:
        assert again.layout.wells == ["B03"]


PATH = "B03_s001_w1_z001_t001.tif"
PLANE = np.zeros((4, 5), np.uint8)
NONSENSE = {
    "two axes": ([np.zeros((2, 4, 5))], [PATH], "a", "image"),
    "two axes ": ([np.zeros((0, 5))], [PATH], "a", "image"),
    "labels are integers, not float64": ([PLANE.astype(float)], [PATH], "a", "labels"),
    "type complex": ([PLANE.astype(complex)], [PATH], "a", "image"),
    "one of: image, labels": ([PLANE], [PATH], "a", "table"),
    "2 planes under 1 names": ([PLANE, PLANE], [PATH], "a", "image"),
    "two planes of one name": ([PLANE, PLANE], [PATH, PATH], "a", "image"),
    "several wells at once": ([PLANE, PLANE], [PATH, PATH.replace("B", "C")], "a", "image"),
    "cannot name results": ([PLANE], [PATH], "../a", "image"),
    "cannot name results ": ([PLANE], [PATH], ".openhcs", "image"),
    "cannot name results  ": ([PLANE], [PATH], "a/b", "image"),
    "cannot name results   ": ([PLANE], [PATH], "", "image"),
}


@pytest.mark.parametrize("reason", NONSENSE)
def test_what_makes_no_sense_is_refused_with_its_reason(backend, reason, tmp_path):
    data, paths, step, kind = NONSENSE[reason]
    with (
        backend.open_results(results(tmp_path, plate().layout)) as writer,
        pytest.raises(StorageError, match=reason.strip()),
    ):
        writer.save_batch(data, paths, step_name=step, kind=kind)


def test_tables_and_wells_that_make_no_sense_are_refused(folder_backend, tmp_path):
    with folder_backend.open_results(results(tmp_path, plate().layout)) as writer:
        with pytest.raises(StorageError, match=r"differ in length \(a: 1, b: 2\)"):
            writer.save_table({"a": [1], "b": [1, 2]}, "B03", step_name="t")
        with pytest.raises(StorageError, match="no name of a well"):
            writer.finish_well("../B03")
    assert [path.name for path in tmp_path.iterdir()] == [".openhcs"]


def test_a_plate_that_is_none(backend, tmp_path):
    with pytest.raises(StorageError, match="no plate|no TIFF files|is no OME-Zarr plate"):
        backend.open_plate(str(tmp_path))
    with pytest.raises(StorageError, match="no plate|No such file|does not exist"):
        backend.open_plate(str(tmp_path / "nothing"))


@st.composite
def addresses(draw):
    """Planes of any incomplete plate."""
    wells = st.sampled_from(["A01", "B12", "P24", "AB48"])
    number = st.integers(1, 3)
    return sorted(
        draw(st.sets(st.builds(PlaneAddress, wells, number, number, number, number), min_size=1, max_size=12))
    )


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    wanted=addresses(), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)), dtype=st.sampled_from(["u1", "i4", "f4"])
)
def test_any_layout_comes_back(name, tmp_path_factory, wanted, shape, dtype):
    backend, source = BACKENDS[name](), plate(wanted, shape, dtype)
    folder = tmp_path_factory.mktemp("layout")
    with FileManager({name: backend}) as files:
        writer = files.open_results(results(folder, source.layout), name)
        for well in source.layout.wells:
            save(writer, source, "a", well)
            files.finish_well(well)
        writer.finish(source.layout.wells)
    with opened_again(backend, folder, "a") as again:
        assert again.layout.planes == source.layout.planes
        assert (again.layout.size_yx, again.layout.dtype) == (shape, np.dtype(dtype))
        for address, plane in zip(wanted, again.read(wanted), strict=True):
            np.testing.assert_array_equal(plane, pixels(address, shape, dtype))
