"""Registration of the scripts on a server: again and again, keeping ids, noticing what does not work."""

import omero
import pytest

from openhcs_core.omero import scripts
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.scripts import Outcome, bundled_scripts, register_scripts, remove_scripts, script_states

TEXT = """import omero.scripts as scripts
client = scripts.client("{name}", "Says {words}.", scripts.Int("N"))
client.closeSession()
"""


@pytest.fixture
def client(connect):
    """A client of the administrator."""
    return connect().c


@pytest.fixture
def bundle(monkeypatch, request, client):
    """Function which sets the scripts of the distribution: texts by their names; removed in the end."""
    known = {}

    def use(**texts):
        found = {f"/tests/{request.node.name}/{name}.py": text for name, text in texts.items()}
        known.update(found)
        monkeypatch.setattr(scripts, "bundled_scripts", lambda: found)
        return list(found)

    yield use
    monkeypatch.setattr(scripts, "bundled_scripts", lambda: known)
    remove_scripts(client)


def good(words="hello"):
    return TEXT.format(name="Good.py", words=words)


def states(client):
    return [(script.path, script.state) for script in script_states(client)]


def test_the_distribution_has_its_scripts():
    texts = bundled_scripts()
    assert "/openhcs/export_scripts/IMS_Export.py" in texts
    assert all(path.startswith("/openhcs/") and "scripts.client(" in text for path, text in texts.items())


def test_scripts_come_are_updated_and_go(bundle, client):
    (path,) = bundle(Good=good())
    assert states(client) == [(path, "missing")]
    (first,) = register_scripts(client)
    assert first == Outcome(path, first.id, "uploaded")
    service = client.sf.getScriptService()
    assert service.getScriptID(path) == first.id
    assert service.getScriptText(first.id) == good()
    assert states(client) == [(path, "current")]

    assert register_scripts(client) == [Outcome(path, first.id, "already current")]

    bundle(Good=good("good bye"))
    assert states(client) == [(path, "outdated")]
    assert register_scripts(client) == [Outcome(path, first.id, "updated")]
    assert service.getParams(first.id).description == "Says good bye."

    assert remove_scripts(client) == [Outcome(path, first.id, "removed")]
    assert states(client) == [(path, "missing")]
    assert remove_scripts(client) == [Outcome(path, None, "not there")]


def test_a_dry_run_changes_nothing(bundle, client):
    bundle(Old=good())
    register_scripts(client)
    new, old = bundle(New=good(), Old=good("more"))
    assert [(o.path, o.action) for o in register_scripts(client, dry_run=True)] == [
        (new, "would upload"),
        (old, "would update"),
    ]
    assert [(o.path, o.action) for o in remove_scripts(client, dry_run=True)] == [
        (new, "not there"),
        (old, "would remove"),
    ]
    assert states(client) == [(new, "missing"), (old, "outdated")]


def test_a_script_that_does_not_parse_is_a_problem(bundle, client):
    broken, fine = bundle(Broken="import nothing_of_this_name", Good=good())
    outcomes = register_scripts(client)
    assert [outcome.path for outcome in outcomes if outcome.problem] == [broken]
    assert [outcome.action for outcome in outcomes if outcome.path == fine] == ["uploaded"]


def test_a_script_that_breaks_by_an_update_is_a_problem(bundle, client):
    bundle(Good=good())
    register_scripts(client)
    bundle(Good="import nothing_of_this_name")
    (outcome,) = register_scripts(client)
    assert outcome.problem


def test_without_a_processor_the_problem_is_told(bundle, client, omero_server):
    bundle(Good=good())
    (first,) = register_scripts(client)
    omero_server.core.processors.params.clear()
    omero_server.knobs.busy = 1000
    try:
        (outcome,) = register_scripts(client)
    finally:
        omero_server.knobs.busy = 0
    assert outcome.id == first.id
    assert "No processor available!" in outcome.problem or "is a script processor running?" in outcome.problem


def test_ordinary_users_may_look_but_not_register(bundle, omero_conn):
    (path,) = bundle(Good=good())
    assert states(omero_conn.c) == [(path, "missing")]
    with pytest.raises(OmeroError, match="You may not register scripts: an administrator of OMERO may"):
        register_scripts(omero_conn.c)
    assert states(omero_conn.c) == [(path, "missing")]


def test_ordinary_users_may_not_remove(bundle, client, omero_conn):
    (path,) = bundle(Good=good())
    register_scripts(client)
    with pytest.raises(OmeroError, match="You may not remove scripts"):
        remove_scripts(omero_conn.c)
    assert states(client) == [(path, "current")]


def test_a_failing_server_is_a_problem_of_one_script(bundle, client, monkeypatch):
    from embedded_omero.services.script import Scripts

    def fail(self, call, *args):
        raise omero.InternalException(None, None, "the disk is gone\nmore")

    first, second = bundle(A=good(), B=good())
    upload = Scripts.uploadOfficialScript
    monkeypatch.setattr(
        Scripts,
        "uploadOfficialScript",
        lambda self, call, path, text: (fail if path == first else upload)(self, call, path, text),
    )
    outcomes = register_scripts(client)
    assert outcomes[0].problem == "the server refused it: the disk is gone"
    assert (outcomes[1].action, outcomes[1].problem) == ("uploaded", "")
