"""What OMERO.web shows, held to what it showed in front of a real server."""

import re

import pytest

from tests.web.browser import Browser
from tests.web.recorded import CASES, case, check, same
from tests.web.world import PASSWORD

# Cases which are asked again as they are, and the kind of the id in their address, which is another one here.
ASKED = {
    "api plate_acquisitions": "Plate", "api plate_acquisitions (3)": "Plate", "api plates of screen": "Screen",
    "api images of dataset": "Dataset", "api images orphaned (2)": "", "api containers experimenter": "",
    "api paths_to_object": "Image", "api groups": "", "api experimenters (2)": "", "api tags": "",
    "api annotations": "Image", "annotate file": "Image", "table": "Plate",
    "webclient home": "", "metadata_details image": "Image", "metadata_details image (2)": "Image",
    "metadata_details plate": "Plate", "metadata_details well": "Well", "metadata_preview": "Image",
    "metadata_acquisition": "Image", "img_detail": "Image", "fileset_check": "Image", "fileset_check split": "Image",
    "original_file_paths": "Image", "archived_files": "Image", "archived_files other user": "Image",
    "imgData": "Image", "imgData plate image": "Image", "imgData missing": "Image", "imgData pyramid": "Image",
    "imgData large without pyramid": "Image", "imgData getDefaults": "Image", "imgData key": "Image",
    "img data well": "Image", "well_children json": "Well", "plateGrid": "Plate", "plateGrid (3)": "Plate",
    "render_thumbnail": "Image", "render_thumbnail plate": "Image", "render_image": "Image",
    "render_image_region tile": "Image", "render_image_region pyramid tile": "Image",
    "render_image_region large no pyramid": "Image",
    "api v0 images": "Image", "api v0 plates": "Plate", "api v0 wells": "Plate",
    "script_ui good": "Script", "script_ui exception": "Script", "script_ui missing": "Script",
    "script_ui multi": "Script", "figure script dialog": "Image", "activities_json start": "", "activities html": "",
}  # fmt: skip
# Cases of which the other tests here ask.
ELSEWHERE = {
    "login wrong password", "login", "logout", "after logout activities_json", "api v0 servers", "api v0 image 54",
    "api containers", "api containers user", "get_thumbnails", "list_scripts", "script_run good",
    "activities_json life good", "activities_json life script", "script_run exception",
    "activities_json life exception", "script_run missing required", "script_run missing script", "script_run long",
    "activities_update clean", "activities_json after clean", "action deletemany one of three",
    "activities_json life delete one image of a fileset", "action deletemany single image",
    "activities_json life delete one image", "action deletemany missing image",
    "activities_json life delete missing image",
}  # fmt: skip
NUMBER = re.compile(r"(?<=/)\d+(?=/)|(?<=\?id=)\d+|(?<=\?image=)\d+", re.IGNORECASE)


def test_every_case_is_asked():
    assert ASKED.keys() | ELSEWHERE == CASES.keys()


@pytest.mark.parametrize(
    "other",
    [
        {"id": 2, "of": {"id": 1}, "name": "b", "size": 1},
        {"id": 2, "of": {"id": 1}, "name": "a", "size": True},
        {"id": 2, "of": {"id": 1}, "name": "a"},
        {"id": 2, "of": {"id": 1}, "name": "a", "size": 1, "more": None},
        {"id": 1, "of": {"id": 2}, "name": "a", "size": 1},
        {"id": "x", "of": {"id": 1}, "name": "a", "size": 1},
    ],
)
def test_differences_are_seen(other):
    recorded = [{"id": 54, "of": {"id": 3}, "name": "a", "size": 1}, {"id": 54}]
    same([{"id": 2, "of": {"id": 1}, "name": "a", "size": 1}, {"id": 2}], recorded)
    with pytest.raises(AssertionError):
        same([other, {"id": 2}], recorded)


@pytest.fixture(scope="module")
def reader(web):
    """Somebody who only looks, logged in once for all cases."""
    browser = Browser(web.url)
    browser.login("alice", PASSWORD)
    yield browser
    browser.post("/webclient/logout/")
    browser.close()


@pytest.mark.parametrize("name", ASKED)
def test_answer(reader, world, name):
    recorded = case(name)
    address = recorded["request"].removeprefix("GET ")
    if ASKED[name]:
        address = NUMBER.sub(lambda m: str(world.ids.get((ASKED[name], int(m[0])), m[0])), address, count=1)
    check(reader.get(address), recorded)
