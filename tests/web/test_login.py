"""Coming, going, and working in another group."""

from tests.web.recorded import case, check
from tests.web.world import PASSWORD, RA, RO, RW


def sessions(world, user):
    """Open sessions of a user at the server."""
    core = world.server.core
    with core.store.lock:
        return [session for session in core.sessions.open.values() if session.user["omeName"] == user]


def test_wrong_password(browse):
    check(browse(None).login("alice", "wrong"), case("login wrong password"))


def test_unknown_user(browse):
    check(browse(None).login("nobody", PASSWORD), case("login wrong password"))


def test_login(browse, world):
    before = len(sessions(world, "alice"))
    check(browse(None).login("alice", PASSWORD), case("login"))
    assert len(sessions(world, "alice")) == before + 1


def test_logout(browse, world):
    browser = browse()
    mine = sessions(world, "alice")[-1]
    check(browser.post("/webclient/logout/"), case("logout"))
    assert mine not in sessions(world, "alice")
    check(browser.ajax("GET", "/webclient/activities_json/"), case("after logout activities_json"))


def test_pages_need_a_login(browse):
    answer = browse(None).get("/webclient/api/containers/?id=-1")
    assert (answer.status_code, answer.headers["Location"]) == (
        302, "/webclient/login/?url=%2Fwebclient%2Fapi%2Fcontainers%2F%3Fid%3D-1",
    )  # fmt: skip


def test_forms_need_a_token(alice):
    answer = alice.post("/webclient/action/addnewcontainer/", headers={"X-CSRFToken": "wrong"})
    assert answer.status_code == 403


def test_other_group(alice, world):
    assert alice.get(f"/webclient/active_group/?active_group={RO}").status_code == 302
    answer = alice.post("/webclient/action/addnewcontainer/", {"folder_type": "dataset", "name": "of ro"})
    assert answer.json()["bad"] == "false"
    made = answer.json()["id"]
    with world.server.core.store.lock:
        assert world.server.core.store.get("Dataset", made).group.id == RO

    def names(group):
        found = alice.get(f"/webclient/api/containers/?id=-1&group={group}").json()["datasets"]
        return [dataset["name"] for dataset in found]

    assert names(RO) == ["of ro"]
    assert "of ro" not in names(RA)


def test_group_of_others(bob, world):
    """To a group in which one is not one cannot switch."""
    bob.get("/webclient/active_group/?active_group=7")
    answer = bob.post("/webclient/action/addnewcontainer/", {"folder_type": "dataset", "name": "still of rw"})
    with world.server.core.store.lock:
        assert world.server.core.store.get("Dataset", answer.json()["id"]).group.id == RW


def test_people_of_a_group(alice):
    page = alice.get(f"/webclient/group_user_content/?url=/webclient/&group={RA}").text
    assert "Alice Test" in page
    assert "Bob Test" in page


def test_account(alice):
    assert "Alice" in alice.get("/webadmin/myaccount/").text


def test_picture_of_a_user(alice):
    assert alice.get("/webclient/avatar/2/").headers["Content-Type"] == "image/jpeg"


def test_static_files(browse):
    """Style sheets, scripts, and what OMERO.web itself reads from among them."""
    browser = browse()
    assert "text/css" in browser.get("/static/webclient/css/layout.css").headers["Content-Type"]
    assert browser.get("/static/webclient/javascript/ome.webclient.actions.js").status_code == 200
    assert browser.get("/webgateway/luts_png/").content.startswith(b"\x89PNG")
