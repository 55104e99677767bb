"""The backend omero_local: results of runs that are interrupted, gone on with, or given up."""

import time

import numpy as np
import omero
import pytest

from openhcs_backends import omero_results
from openhcs_core.omero.abandoned import sweep_runs
from openhcs_core.omero.provenance import find_run
from openhcs_core.omero.scratch import KEPT_DAYS
from openhcs_core.plate import PlaneAddress
from openhcs_core.storage.backend import StorageError
from tests.omero.run_results import WELLS, derived, everything, fields_of, made, read_image, save_all, save_well


def test_nothing_is_seen_before_a_well_is_finished(home, begin, conn):
    results = begin()
    before = everything(conn)
    with home.open_results(results) as writer:
        save_well(writer, results.layout, "A01")
        assert everything(conn) == before | {"MapAnnotation": before["MapAnnotation"] + 1}
        assert writer.finished_wells() == set()
        writer.finish_well("A01")
        assert writer.finished_wells() == {"A01"}


def test_a_run_is_gone_on_with(home, begin, conn):
    results = begin()
    with home.open_results(results) as writer:
        save_well(writer, results.layout, "A01")
        writer.finish_well("A01")
        save_well(writer, results.layout, "B03")  # and here it is interrupted
    with home.open_results(results) as writer:
        assert writer.finished_wells() == {"A01"}
        save_well(writer, results.layout, "B03")
        writer.finish_well("B03")
        writer.finish(WELLS)
        assert writer.finished_wells() == set(WELLS)
    first = everything(conn)
    save_all(home, begin(run="other"))
    alone = {kind: count - first[kind] for kind, count in everything(conn).items()}
    undisturbed = {"Plate": 1, "Dataset": 0, "Image": 3, "Roi": 6, "MapAnnotation": 1, "FileAnnotation": 2}
    assert alone == undisturbed | {"OriginalFile": 2}
    assert {kind: first[kind] for kind in ("Roi", "FileAnnotation")} == {"Roi": 6, "FileAnnotation": 2}
    with home.open_results(results) as writer:
        assert writer.finished_wells() == set(WELLS)
        (statement,) = writer.finish(WELLS)
    assert statement.startswith("All of it was finished before, on 20")
    assert everything(conn) == {kind: first[kind] + alone[kind] for kind in first}


@pytest.mark.parametrize("moment", ["save_images", "save_rois", "save"])
def test_what_a_failed_attempt_left_is_replaced(moment, home, begin, conn, monkeypatch):
    """The server fails after the images, after the masks, or when the record is written."""
    results = begin()
    owner = omero_results.Records if moment == "save" else omero_results
    original = getattr(owner, moment)

    def fail(*arguments):
        if moment != "save":
            original(*arguments)
        raise omero.InternalException(message="no space left")

    with home.open_results(results) as writer:
        save_well(writer, results.layout, "A01", factor=2)
        with monkeypatch.context() as broken:
            broken.setattr(owner, moment, fail)
            with pytest.raises(StorageError, match="^A01: OMERO refused: no space left"):
                writer.finish_well("A01")
        assert writer.finished_wells() == set()
        writer.begin_well("A01")
        save_well(writer, results.layout, "A01")
        writer.finish_well("A01")
        save_well(writer, results.layout, "B03")
        writer.finish_well("B03")
        writer.finish(WELLS)
    found = everything(conn)
    assert (found["Image"], found["Roi"]) == (3 + 3, 6)
    for (well, site), image in fields_of(derived(conn, "P flat")).items():
        assert np.array_equal(read_image(conn, image.getId())[1, 0], made(PlaneAddress(well, site, 2)))


def test_some_wells_first_the_others_later(home, begin, conn):
    results = begin()
    statements = save_all(home, results, ["B03"])
    assert statements[0].endswith("(P flat): 1 images")
    number = derived(conn, "P flat").getId()
    with home.open_results(results) as writer:
        assert writer.finished_wells() == {"B03"}
        save_well(writer, results.layout, "A01")
        writer.finish_well("A01")
        assert "measure.csv: 18 rows" in writer.finish(["A01"])
    assert derived(conn, "P flat").getId() == number
    assert sorted(fields_of(derived(conn, "P flat"))) == [("A01", 1), ("A01", 2), ("B03", 1)]
    assert everything(conn)["FileAnnotation"] == 2


def test_a_well_that_failed_is_told(home, begin, conn):
    results = begin()
    with home.open_results(results) as writer:
        save_well(writer, results.layout, "B03")
        writer.finish_well("B03")
        statements = writer.finish(WELLS)
    assert statements[-1] == "not finished, and left out: A01. Start the same run again to complete it"
    assert find_run(conn, "run").finished == ""


def test_results_that_were_deleted_are_made_again(home, begin, conn, omero_conn):
    results = begin()
    save_all(home, results)
    omero_conn.deleteObjects("Plate", [derived(conn, "P flat").getId()], deleteChildren=True, wait=True)
    with home.open_results(results) as writer:
        assert writer.finished_wells() == set()
    save_all(home, results)
    assert len(fields_of(derived(conn, "P flat"))) == 3


def test_the_source_is_never_taken_for_a_leftover(home, begin, conn):
    """A pipeline on an image that a pipeline has made."""
    save_all(home, begin())
    number = fields_of(derived(conn, "P flat"))["A01", 1].getId()
    results = begin(f"Image:{number}", run="second")
    with home.open_results(results) as writer:
        for _ in range(2):
            save_well(writer, results.layout, "A01")
            writer.finish_well("A01")
        writer.finish(["A01"])
    assert conn.getObject("Image", number) is not None
    (made_of,) = conn.getObjects("Dataset")
    assert len(list(made_of.listChildren())) == 1


def test_what_nobody_came_back_to_is_removed(home, begin, conn):
    """A run without any results, and one with some; what is finished stays as it is."""
    save_all(home, begin(run="finished"))
    before = everything(conn)
    interrupted, results = begin(), begin(run="partial")
    with home.open_results(interrupted) as writer:
        save_well(writer, interrupted.layout, "A01")
        writer.finish_well("A01")
    with home.open_results(results) as writer:
        save_well(writer, results.layout, "B03")
        writer.finish_well("B03")
        writer.finish(WELLS)
        save_well(writer, results.layout, "A01")
        writer.finish_well("A01")
    found = everything(conn)
    sweep_runs(conn)
    assert everything(conn) == found
    sweep_runs(conn, now=time.time() + (KEPT_DAYS + 1) * 86400)
    left = everything(conn)
    kept = {"Plate": 1, "Image": 1, "MapAnnotation": 1, "FileAnnotation": 2, "OriginalFile": 2, "Dataset": 0}
    assert {kind: left[kind] - before[kind] for kind in kept} == kept
    assert find_run(conn, "run") is None
    assert find_run(conn, "partial").wells == ("B03",)
    save_all(home, results)
    assert [len(fields_of(plate)) for plate in conn.getObjects("Plate") if plate.getName() == "P flat"] == [3, 3]
