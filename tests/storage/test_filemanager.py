"""The open plates and results of a process, and how backends are found."""

import numpy as np
import pytest

from openhcs_backends.zarr_backend import ZarrBackend
from openhcs_core.hookspecs import BackendSpec
from openhcs_core.plate import PlaneAddress, PlateError
from openhcs_core.storage import FileManager, MemoryBackend, StorageBackend, StorageError, create_storage_registry
from openhcs_core.storage.registry import StorageRegistry
from tests.storage.plates import BACKENDS, pixels, plate, results, save


@pytest.fixture
def registry():
    return {name: make() for name, make in BACKENDS.items()}


@pytest.fixture
def files(registry):
    with FileManager(registry) as manager:
        yield manager


def saved(files, folder, backend, well="B03"):
    source = plate([PlaneAddress(well)])
    writer = files.open_results(results(folder, source.layout), backend)
    save(writer, source, "a", well)
    files.finish_well(well)
    writer.finish([well])
    files.close()


def test_all_backends_of_all_plugins_are_made_when_asked_for():
    registry = create_storage_registry()
    assert {"memory", "disk", "zarr", "omero_local"} <= set(registry)
    assert registry["disk"] is registry["disk"]
    assert [registry[name].name for name in ("memory", "disk", "zarr")] == ["memory", "disk", "zarr"]


def test_a_backend_is_made_once_and_late():
    made = []
    registry = StorageRegistry({"a": BackendSpec("a", "", lambda: made.append(1) or MemoryBackend())})
    assert ("a" in registry, "b" in registry, list(registry), len(registry), made) == (True, False, ["a"], 1, [])
    assert registry["a"] is registry["a"]
    assert made == [1]
    assert registry.get("b") is None


def test_a_plate_finds_its_backend(files, registry, tmp_path):
    saved(files, tmp_path, "disk")
    saved(files, tmp_path, "zarr", "C04")
    registry["memory"].add("mine", {PlaneAddress("D05"): pixels(PlaneAddress("D05"))})
    locations = {"B03": str(tmp_path / "a"), "C04": str(tmp_path / "a.zarr"), "D05": "mine"}
    for well, location in locations.items():
        assert files.open_plate(location).layout.wells == [well]
    with pytest.raises(StorageError, match="no folder of this name"):
        files.open_plate(str(tmp_path / "nothing"))
    with pytest.raises(StorageError, match="no TIFF files in .* Give one of the folders in it: a"):
        files.open_plate(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="No backend recognises .*empty' as a plate"):
        files.open_plate(str(tmp_path / "empty"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="No backend recognises .*file' as a plate. Backends: memory, disk, zarr"):
        files.open_plate(str(tmp_path / "file"))


def test_several_backends_that_recognise_a_plate(tmp_path):
    registry = {"one": ZarrBackend(), "two": ZarrBackend()}
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(StorageError, match=r"could belong to several backends: one, two\. Say which"):
        FileManager(registry).open_plate(str(tmp_path / "a.zarr"))


def test_a_backend_that_lacks_something_is_in_nobodys_way(tmp_path):
    def broken():
        raise ImportError("No module named 'tape'")

    backend = MemoryBackend()
    backend.add("mine", {PlaneAddress("D05"): pixels(PlaneAddress("D05"))})
    specs = {"tape": BackendSpec("tape", "", broken), "memory": BackendSpec("memory", "", lambda: backend)}
    files = FileManager(StorageRegistry(specs))
    assert files.open_plate("mine").layout.wells == ["D05"]
    for ask in (lambda: files.open_plate("reel", "tape"), lambda: files.open_plate("reel")):
        with pytest.raises(StorageError, match="'tape' cannot be used: No module named 'tape'. Install what it needs"):
            ask()
    with pytest.raises(StorageError, match="no backend 'disc'. Backends: tape, memory"):
        files.open_plate("mine", "disc")


def test_a_backend_need_not_do_both(tmp_path):
    class Nothing(StorageBackend):
        name = "nothing"

    assert not Nothing().recognises(str(tmp_path))
    with pytest.raises(StorageError, match="'nothing' holds no plates to read"):
        Nothing().open_plate("a")
    with pytest.raises(StorageError, match="'nothing' takes no results"):
        Nothing().open_results(results(tmp_path, plate().layout))


def test_one_plate_and_one_run_of_each_backend_are_open(files, registry, tmp_path):
    for name in ("one", "two"):
        registry["memory"].add(name, {PlaneAddress("A01"): np.full((3, 4), len(name))})
    first = files.open_plate("one", "memory")
    assert files.open_plate("one") is first
    assert files.load_batch(["A01_s001_w1_z001_t001.tif"], "memory")[0].tolist() == np.full((3, 4), 3).tolist()
    assert files.open_plate("two") is not first
    told = results(tmp_path, first.layout)
    writer = files.open_results(told, "disk")
    assert files.open_results(told, "disk") is writer
    other = files.open_results(results(tmp_path, first.layout, "2"), "disk")  # the first is closed: its lock is free
    assert other is not writer


def test_what_is_not_open(files):
    with pytest.raises(StorageError, match="No plate is open in the backend 'disk'"):
        files.load_batch(["A01_s001_w1_z001_t001.tif"], "disk")
    with pytest.raises(StorageError, match="No results are open in the backend 'disk'"):
        files.save_batch([np.zeros((2, 2))], ["A01_s001_w1_z001_t001.tif"], "disk", step_name="a")


def test_batches_go_where_they_are_told(files, registry, tmp_path):
    source = plate([PlaneAddress("A01")])
    writers = {name: files.open_results(results(tmp_path / name, source.layout), name) for name in registry}
    paths = ["A01_s001_w1_z001_t001.tif"]
    for name in registry:
        files.save_batch([np.ones((3, 4), np.uint8)], paths, name, step_name="a", port=5555)
    files.begin_well("A01")
    for name in registry:
        files.save_batch([np.full((3, 4), 2, np.uint8)], paths, name, step_name="a", kind="labels")
        files.save_table({"n": [1]}, "A01", name, step_name="a")
    files.finish_well("A01")
    for writer in writers.values():
        writer.finish(["A01"])
    for name, location in (("memory", "memory/a/labels"), ("disk", "disk/a"), ("zarr", "zarr/a.zarr")):
        files.open_plate(str(tmp_path / location), name)
        assert files.load_batch(paths, name)[0].tolist() == np.full((3, 4), 2).tolist()
        with pytest.raises(PlateError):
            files.load_batch(["nonsense"], name)


def test_memory_plates_that_are_none():
    backend = MemoryBackend()
    with pytest.raises(StorageError, match="has no planes"):
        backend.add("a", {})
    with pytest.raises(StorageError, match="not of one size"):
        backend.add("a", {PlaneAddress("A01"): np.zeros((2, 3)), PlaneAddress("A02"): np.zeros((3, 2))})
    with pytest.raises(StorageError, match="not of one size"):
        backend.add("a", {PlaneAddress("A01"): np.zeros((2, 2, 3))})
