"""What a person asks of a pipeline."""

import pytest

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.pipeline_request import OUTPUTS, PipelineRequest, pipeline_file


def request(**inputs):
    return PipelineRequest.from_inputs({"IDs": [3], "Pipeline": "nuclei"} | inputs)


def test_as_the_dialog_sends_it():
    found = request(
        Data_Type="Well",
        IDs=[3, 4],
        Wells=["b3", " A01 "],
        Workers=2,
        Save_Masks=False,
        Resume=False,
        File_Annotation="",
    )
    assert found == PipelineRequest("Well", (3, 4), "nuclei", None, "", ("B03", "A01"), 2, ("images", "tables"), False)
    assert found.origin == "the pipeline 'nuclei'"


def test_what_is_left_out():
    assert request() == PipelineRequest("Plate", (3,), "nuclei")
    assert request().outputs == OUTPUTS


def test_text_and_file_go_before_the_preset():
    assert request(Pipeline_Text=" x ").origin == "the pipeline of Pipeline_Text"
    assert request(File_Annotation="12").origin == "the pipeline of FileAnnotation:12"
    assert request(File_Annotation=12).file_annotation == 12


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"Data_Type": "Screen"}, "Data_Type is 'Screen'. Choose one of: Image, Dataset, Well, Plate"),
        ({"IDs": []}, "nothing is selected"),
        ({"Pipeline": ""}, "there is no pipeline"),
        ({"File_Annotation": "a.py"}, "File_Annotation is 'a.py'"),
        ({"File_Annotation": "1", "Pipeline_Text": "x"}, "not both"),
        ({"Wells": [" "]}, "Wells holds blanks only"),
        ({"Wells": ["B03", "B-4"]}, "'B-4' is no name of a well"),
        ({"Workers": -1}, "Workers is -1"),
        ({"Save_Images": False, "Save_Masks": False, "Save_Tables": False}, "nothing is to be saved"),
    ],
)
def test_what_makes_no_sense(inputs, said):
    with pytest.raises(OmeroError, match=said):
        request(**inputs)


def test_the_text_of_an_attached_file(conn, omero_conn, tmp_path, monkeypatch):
    def attach(content):
        path = tmp_path / "pipeline.py"
        path.write_bytes(content)
        return omero_conn.createFileAnnfromLocalFile(str(path)).getId()

    assert pipeline_file(conn, attach("µ\n".encode("utf-8-sig"))) == "µ\n"
    with pytest.raises(OmeroError, match=r"pipeline\.py is no text in UTF-8"):
        pipeline_file(conn, attach(b"\xff\xfe"))
    with pytest.raises(OmeroError, match=r"has 1048577 bytes: that is no pipeline"):
        pipeline_file(conn, attach(b" " * ((1 << 20) + 1)))
    with pytest.raises(OmeroError, match="FileAnnotation:999999 does not exist"):
        pipeline_file(conn, 999999)
