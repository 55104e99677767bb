"""Places of OMERO handed to a publisher, as a desk does it; what the script does is in tests/scripts."""

import itertools

import numpy as np
import pytest

from openhcs_core.omero.errors import Stopped
from openhcs_core.omero.login import Login
from openhcs_core.omero.part import Part
from openhcs_core.omero.streaming import stream_places
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.publisher import Publisher
from tests.scripts.viewer import Screen


@pytest.fixture
def show(omero_conn):
    """Function which streams places to a viewer; answers what it is told and the viewer."""

    def run(*places, **options):
        with Screen() as screen, Publisher([screen.receiver.endpoint]) as publisher:
            found = stream_places(Login.of(omero_conn.c), places, publisher, **options)
            publisher.close()
        return found, screen

    return run


def test_places_are_streams_of_their_own(show, plate, make_image, voxels):
    image = make_image(voxels(2, 1, 1, 30, 20, dtype="u1"), "cell").getId()
    events = []
    found, screen = show(
        f"Plate:{plate}", f"Image:{image}", wells=(), progress=events.append, display={"site": "separate"}
    )
    assert (found.planes, found.failed) == (20, [])
    assert found.done[1].startswith(f"Image:{image} (cell): 2 planes of 1 images, read from ")
    first, second = screen.begins
    assert (first.title, second.title, second.dtype, second.size_yx) == ("P", "cell", "uint8", (30, 20))
    assert second.source == {"Image": image}
    assert first.display == {"site": "separate"}
    expected = voxels(2, 1, 1, 30, 20, dtype="u1")[:, 0, 0]
    shown = screen.of(second.stream)
    assert all(np.array_equal(shown[PlaneAddress("A01", timepoint=t + 1)], expected[t]) for t in range(2))
    assert [event.item for event in events][-1] == 2
    assert events[-1].percent == 100


def test_what_is_wrong_with_a_place_is_told(show, plate):
    found, screen = show(f"Plate:{plate}", wells=["B03", "H12"])
    assert found.failed == [f"Plate:{plate}: there is no well H12. Choose from A01, B03."]
    found, screen = show(f"Plate:{plate}", wells=["B03"], sites=[2, 3])
    assert found.failed == [f"Plate:{plate}: there is no field 2 or 3 in these wells."]
    found, screen = show(f"Plate:{plate}", part=Part(channels=("Cy5",)))
    assert found.failed == [f"Plate:{plate}: the image has no channel 'Cy5'. Its channels: 1 (DAPI), 2 (GFP). "
                            "Give a number, or a name."]  # fmt: skip
    assert screen.begins == []


def test_some_fields(show, plate):
    found, screen = show(f"Plate:{plate}", sites=[2])
    assert (found.planes, found.failed) == (6, [])
    assert {(address.well, address.site) for _, address in screen.planes} == {("A01", 2)}


def test_an_image_that_cannot_be_read(show, import_tiff, voxels, stored_file):
    images = [import_tiff(voxels(30, 40) + number, f"{number}.tif") for number in range(2)]
    stored_file(images[0]).unlink()
    found, screen = show(f"Image:{images[0].getId()},{images[1].getId()}")
    (problem,) = found.failed
    assert problem.startswith(
        f"Image:{images[0].getId()},{images[1].getId()}: A01 field 1 (Image:{images[0].getId()}): "
    )
    assert found.planes == 1
    ((_, address),) = screen.planes
    assert address.well == "A02"


def test_it_ends_when_it_is_told_to(show, plate):
    asked = itertools.count()
    with pytest.raises(Stopped):
        show(f"Plate:{plate}", cancelled=lambda: next(asked) > 0)


def test_images_of_several_sizes(show, import_tiff, voxels):
    small, large, other = (import_tiff(voxels(size, size), f"{size}.tif").getId() for size in (20, 30, 20))
    found, screen = show(f"Image:{small},{large},{other}")
    assert found.failed == []
    assert [begin.source for begin in screen.begins] == [{"Image": f"{small},{other}"}, {"Image": large}]
    assert [plane.shape[0] for plane in screen.planes.values()] == [20, 20, 30]
