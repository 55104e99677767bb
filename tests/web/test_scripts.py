"""The menu of scripts, their dialogs, and the list of what runs."""

import re
import time

import pytest

from tests.web.recorded import case, check, same
from tests.web.world import SCRIPTS

INPUTS = {"Data_Type": "Image", "Count": "3", "Ratio": "0.5", "Text": "some text", "Flag": "on"}


@pytest.fixture
def good(world):
    return world.ids["Script", 246]


def same_life(seen, recorded):
    """How an activity went: as there, but for what was over before anybody looked."""
    wanted = [step["json"] for step in recorded]
    same(seen[-1], wanted[-1])
    for step in seen[:-1]:
        same(step, wanted[0])


def only(activities):
    (activity,) = (value for value in activities.values() if isinstance(value, dict))
    return activity


def test_menu(alice):
    """The dialogs of OMERO.web's own for figures are not in it."""

    def entry(recorded, *names):
        return [{**e, "ul": entry(e["ul"], *names)} if "ul" in e else e for e in recorded if e["name"] in names]

    recorded = case("list_scripts")
    folders = ("omero", "analysis_scripts", "export_scripts")
    scripts = ("Bad_Script.py", "Good_Script.py", "Kymograph.py", "Batch_Image_Export.py")
    recorded["json"] = [*entry(recorded["json"], *folders, *scripts), {"name": "Wait.py", "id": 98}]
    check(alice.get("/webclient/list_scripts/"), recorded)


@pytest.mark.parametrize("name", ["good", "script"])
def test_run(alice, world, good, name):
    """Once, and once more: the first results have been told."""
    inputs = {**INPUTS, "IDs": str(world.ids["Image", 1])}
    check(alice.post(f"/webclient/script_run/{good}/", inputs), case("script_run good"))
    seen = alice.life()
    same_life(seen, case(f"activities_json life {name}"))
    assert alice.life() == seen[-1:]
    activity = only(seen[-1])
    said = alice.get(f"/webclient/get_original_file/{activity['stdout']}/").text
    assert "'Text': 'some text'" in said
    assert f"'IDs': [{world.ids['Image', 1]}]" in said
    assert alice.get(f"/webclient/get_original_file/{activity['stderr']}/").text == "a warning\n"
    download = f"/webclient/annotation/{activity['results']['File_Annotation']['id']}/"
    assert alice.get(download).content == b"the result\n"
    page = alice.get("/webclient/activities/").text
    assert "Done it" in page
    assert f'href="{download}"' in page


def test_failure(alice, world):
    """What the script wrote is to be had."""
    check(alice.post(f"/webclient/script_run/{world.ids['Script', 248]}/", {"X": "1"}), case("script_run exception"))
    seen = alice.life()
    recorded = case("activities_json life exception")
    for step in recorded:
        step["json"]["jobs"] = 1
    same_life(seen, recorded)
    assert "as intended" in alice.get(f"/webclient/get_original_file/{only(seen[-1])['stderr']}/").text


def test_missing_parameter(alice, good):
    recorded = case("script_run missing required")
    error = recorded["json"].pop("error")
    answer = alice.post(f"/webclient/script_run/{good}/", INPUTS)
    traceback = answer.json()["error"]
    recorded["json"]["error"] = traceback
    check(answer, recorded)
    wanted = re.search(r"message = Invalid parameters:.*", error, re.DOTALL)[0]
    assert traceback.startswith("Traceback")
    assert traceback.endswith(wanted)
    seen = alice.activities()
    assert (seen["failure"], only(seen)["status"]) == (1, "failed")


def test_missing_script(alice):
    """There an error page, here another one."""
    recorded = case("script_run missing script")
    check(alice.post("/webclient/script_run/99999/", INPUTS), recorded)


def test_what_runs_outlives_cleaning(alice, world):
    """And ends when its user logs out."""
    check(alice.post(f"/webclient/script_run/{world.ids['Script', 98]}/"), case("script_run long"))
    alice.post("/webclient/script_run/99999/", INPUTS)
    cleaned = alice.post("/webclient/activities_update/clean/")
    check(cleaned, case("activities_update clean"))
    assert cleaned.text == case("activities_update clean")["body"]
    check(alice.get("/webclient/activities_json/"), case("activities_json after clean"))
    running = world.server.core.processors.running
    assert running()
    alice.post("/webclient/logout/")
    limit = time.monotonic() + 30
    while running():
        assert time.monotonic() < limit, "the script goes on"
        time.sleep(0.05)


def test_no_processor(alice, world, good):
    world.server.knobs.busy = 1
    answer = alice.post(f"/webclient/script_run/{good}/", {**INPUTS, "IDs": str(world.ids["Image", 1])}).json()
    assert answer["status"] == "failed"
    assert "No processor available! [0 response(s)]" in answer["error"]
    assert only(alice.activities())["status"] == "failed"


def test_script_of_omero(bob, world, scrap):
    """Batch_Image_Export of omero-scripts, as a user would run it."""
    image = scrap()
    script = world.ids["Script", 18]
    dialog = bob.get(f"/webclient/script_ui/{script}/?Image={image}").text
    assert f'value="{image}"' in dialog
    inputs = {"Data_Type": "Image", "IDs": str(image), "Format": "PNG", "Export_Individual_Channels": "on",
              "Export_Merged_Image": "on", "Folder_Name": "Batch_Image_Export"}  # fmt: skip
    assert bob.post(f"/webclient/script_run/{script}/", inputs).json()["status"] == "in progress"
    activity = only(bob.life()[-1])
    assert (activity["status"], activity["returncode"]) == ("finished", 0)
    assert activity["results"]["File_Annotation"]["name"] == "Batch_Image_Export.zip"
    assert activity["results"]["File_Annotation"]["browse_url"] == f"/webclient/userdata/?show=image-{image}"


def test_upload(browse, world):
    """By an administrator: a new script, one in its place, one that cannot be read."""
    root = browse(world.server.user, world.server.password)

    def upload(name, text):
        files = {"script_file": (name, text)}
        return root.post("/webclient/script_upload/", {"script_path": "/uploaded"}, files=files).json()

    text = (SCRIPTS / "Bad_Script.py").read_bytes()
    made = upload("New_Script.py", text)
    assert made["Message"] == "Script Uploaded: New_Script.py"
    dialog = f"/webclient/script_ui/{made['script_id']}/"
    assert 'name="X"' in root.get(dialog).text
    again = upload("New_Script.py", text.replace(b'"X"', b'"Y"'))
    assert again == {"Message": "Script Replaced: New_Script.py", "script_id": made["script_id"]}
    assert 'name="Y"' in root.get(dialog).text
    refused = upload("Broken.py", b"import nothing_of_that_name")
    assert refused["script_id"] == -1
    assert "Can't find params for" in refused["Message"]
    assert "nothing_of_that_name" in refused["Message"]
    names = [entry["name"] for entry in root.get("/webclient/list_scripts/").json()]
    assert "uploaded" in names
    conn = world.connect(world.server.user)
    try:  # the menu of the other tests is without it
        conn.getScriptService().deleteScript(made["script_id"])
    finally:
        conn.close()


def test_upload_is_for_administrators(alice):
    files = {"script_file": ("Mine.py", (SCRIPTS / "Bad_Script.py").read_bytes())}
    answer = alice.post("/webclient/script_upload/", {"script_path": "/mine"}, files=files)
    assert "script_id" not in answer.text
