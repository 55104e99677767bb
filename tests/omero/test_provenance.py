"""What a result says of itself in OMERO."""

import omero
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhcs_core.omero.attachments import Records, attach_file, attached, download, upload
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.provenance import (
    NAMESPACE,
    PipelineRun,
    begin_run,
    find_run,
    read_run,
    results_exist,
    update_run,
    versions,
)
from openhcs_core.omero.session import gateway, in_group

RUN = PipelineRun(
    run="f00d",
    pipeline="pipeline_steps = [\n    'µ',\n]\n" * 40,
    source="Plate:12",
    started="2026-11-20T10:00:00+00:00",
    facts={"OpenHCS version": "1", "Outputs": "images"},
)
words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1)


@pytest.fixture
def context(conn, omero_user):
    return in_group(conn, omero_user.group_id)


@pytest.fixture
def image(make_image, voxels):
    return make_image(voxels(1, 1, 1, 4, 5))


@given(
    st.builds(
        PipelineRun,
        run=words,
        pipeline=st.text(min_size=1),
        source=words,
        wells=st.lists(words).map(tuple),
        results=st.dictionaries(words, words),
        facts=st.dictionaries(words.map(lambda word: f"fact {word}"), words),
    )
)
def test_a_run_is_what_its_pairs_tell(run):
    assert PipelineRun.from_pairs(run.pairs()) == run


def test_a_run_in_omero(conn, context, image):
    run = begin_run(conn, RUN, [image], context)
    assert find_run(conn, "f00d") == run == read_run(conn, run.annotation_id)
    assert run.pipeline == RUN.pipeline
    (annotation,) = conn.getObject("Image", image.getId()).listAnnotations(NAMESPACE)
    assert annotation.getId() == run.annotation_id
    assert dict(annotation.getValue())["Source"] == "Plate:12"
    pairs = [*run.pairs(), ("Finished", "now"), ("Result: x", "Plate:999999")]
    changed = PipelineRun.from_pairs(pairs, run.annotation_id)
    update_run(conn, changed, context)
    assert find_run(conn, "f00d") == changed
    assert not results_exist(conn, changed)
    assert results_exist(conn, run)
    later = begin_run(conn, RUN, [image], context)
    assert find_run(conn, "f00d").annotation_id == later.annotation_id
    assert find_run(conn, "another") is None


def test_runs_of_others_are_theirs(conn, context, image, connect, make_user, omero_user):
    run = begin_run(conn, RUN, [image], context)
    colleague = gateway(connect(make_user(omero_user.group)).c)
    assert find_run(colleague, "f00d") is None
    assert read_run(colleague, run.annotation_id) == run
    stranger = gateway(connect(make_user()).c)
    with pytest.raises(OmeroError, match=f"there is no map annotation {run.annotation_id} that you may see"):
        read_run(stranger, run.annotation_id)


def test_an_annotation_that_is_none_of_a_run(conn, omero_conn):
    annotation = omero.model.MapAnnotationI()
    annotation.mapValue = [omero.model.NamedValue("Source", "Plate:1")]
    number = omero_conn.getUpdateService().saveAndReturnObject(annotation).id.val
    with pytest.raises(OmeroError, match="the annotation tells no Pipeline, Run: it is not one of a run of OpenHCS"):
        read_run(conn, number)


def test_versions_name_what_results_depend_on():
    assert {"OpenHCS version", "Python version", "numpy version", "scikit-image version"} <= versions().keys()


def test_files_of_bytes(conn, context, image):
    data = bytes(range(256)) * 100
    file = upload(conn, data, "a.bin", "application/octet-stream", context)
    assert download(conn, file.id.val, context) == data
    number = attach_file(conn, [image], file, "a test of files", context)
    assert attached(conn, "a test of files", context) == [number]
    (annotation,) = image.listAnnotations(NAMESPACE)
    assert b"".join(annotation.getFileInChunks()) == data
    assert annotation.getFile().getName() == "a.bin"


def test_records_count_when_they_are_complete(conn, context, omero_server, monkeypatch):
    records = Records(conn, 4711, context)
    assert records.files() == {}
    records.save("B03", {"images": [["smooth", 1, 5]], "nothing": float("nan")})
    monkeypatch.setattr(omero_server.knobs, "failing_writes", 1)
    with pytest.raises(OmeroError, match="OMERO did not take the file"):
        records.save("B04", {})
    assert list(records.files()) == ["B03"]
    assert sorted(records.files(complete=False)) == ["B03", "B04"]
    assert records.load()["B03"]["images"] == [["smooth", 1, 5]]
    assert Records(conn, 4712, context).files() == {}
