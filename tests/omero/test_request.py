"""The parameters of the export script, and what they select of an image."""

import pytest

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop
from openhcs_core.omero.part import Part, crop_label
from openhcs_core.omero.request import ExportRequest

NAMES = ["DAPI", "GFP", "488", ""]
SIZES = {"T": 5, "C": 4, "Z": 11}


def request(**inputs):
    return ExportRequest.from_inputs({"Data_Type": "Image", "IDs": [1], **inputs})


def test_defaults():
    assert request() == ExportRequest("Image", (1,), attach=True, publish=False, reuse=True, preset="fast")


def test_all_inputs():
    assert request(
        Data_Type="Plate",
        IDs=[3, 4],
        Channels=["1", " GFP "],
        First_Z=2,
        Last_Z=3,
        First_T=4,
        Last_T=5,
        Delivery="Both",
        Reuse_Export=False,
        Compression="small",
        Layout="Mosaic per well",
    ) == ExportRequest("Plate", (3, 4), Part(("1", "GFP"), 2, 3, 4, 5), True, True, False, "small", "Mosaic per well")


def test_a_lone_image_id():
    assert ExportRequest.from_inputs({"Data_Type": "Dataset", "Image_ID": 7}) == ExportRequest("Image", (7,))


@pytest.mark.parametrize(
    ("delivery", "attach", "publish"), [("Attach to image", True, False), ("Server folder", False, True)]
)
def test_delivery(delivery, attach, publish):
    found = request(Delivery=delivery)
    assert (found.attach, found.publish) == (attach, publish)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"IDs": []}, "Nothing is selected."),
        ({"IDs": None}, "Nothing is selected."),
        ({"Image_ID": 2}, "Give either Image_ID, or Data_Type and IDs, not both."),
        ({"Data_Type": "Project"}, "Data_Type is 'Project'. Choose one of: Image, Dataset, Well, Plate."),
        ({"Delivery": "Mail"}, "Delivery is 'Mail'. Choose one of: Attach to image, Server folder, Both."),
        ({"Compression": "lz4"}, "Compression is 'lz4'. Choose one of: fast, small, uncompressed."),
        (
            {"Layout": "Collage"},
            "Layout is 'Collage'. Choose one of: One file per image, Mosaic per well, Mosaic per plate.",
        ),
        (
            {"Data_Type": "Dataset", "Layout": "Mosaic per plate"},
            "'Mosaic per plate' is made of the fields of wells, but a dataset is selected. Select plates, wells or ",
        ),
        ({"Channels": [" "]}, "Channels holds blanks only."),
    ],
)
def test_inputs_that_make_no_sense(inputs, message):
    with pytest.raises(OmeroError) as caught:
        request(**inputs)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("inputs", "crop", "label"),
    [
        ({}, Crop([0, 1, 2, 3], range(11), range(5)), ""),
        ({"Channels": ["2", "1"]}, Crop([1, 0], range(11), range(5)), "C2+1"),
        ({"Channels": ["gfp"]}, Crop([1], range(11), range(5)), "C2"),
        ({"Channels": ["488"]}, Crop([2], range(11), range(5)), "C3"),
        ({"First_Z": 3}, Crop([0, 1, 2, 3], range(2, 11), range(5)), "Z3-11"),
        ({"First_Z": 4, "Last_Z": 4, "Last_T": 2}, Crop([0, 1, 2, 3], range(3, 4), range(2)), "Z4 T1-2"),
        ({"First_Z": 1, "Last_Z": 11, "Last_T": 5}, Crop([0, 1, 2, 3], range(11), range(5)), ""),
    ],
)
def test_part_of_an_image(inputs, crop, label):
    found = request(**inputs).part.crop(SIZES, NAMES)
    assert found == crop
    assert crop_label(found, SIZES) == label


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"Channels": ["5"]}, "has no channel '5'. Its channels: 1 (DAPI), 2 (GFP), 3 (488), 4."),
        ({"Channels": ["Cy3"]}, "has no channel 'Cy3'"),
        ({"Channels": ["0"]}, "has no channel '0'"),
        ({"Channels": ["1", "DAPI"]}, "channel 1 is wanted twice"),
        ({"First_Z": 12}, "the image has Z 1 to 11, but 12 to 11 is wanted. Correct First_Z and Last_Z."),
        ({"Last_Z": 12}, "1 to 12 is wanted"),
        ({"First_Z": 0}, "0 to 11 is wanted"),
        ({"First_T": 3, "Last_T": 2}, "the image has T 1 to 5, but 3 to 2 is wanted. Correct First_T and Last_T."),
    ],
)
def test_parts_that_the_image_does_not_have(inputs, message):
    with pytest.raises(OmeroError) as caught:
        request(**inputs).part.crop(SIZES, NAMES)
    assert message in str(caught.value)


def test_a_name_of_two_channels():
    with pytest.raises(OmeroError, match="has 2 channels 'GFP'"):
        request(Channels=["GFP"]).part.crop(SIZES, ["GFP", "gfp"])
