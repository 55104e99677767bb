"""The pytest plugin: its fixtures, scripts run with plain values, and what it costs those who do not use it."""

import subprocess
import sys
import time

import numpy as np
import omero
import pytest
from omero.gateway import BlitzGateway
from omero.rtypes import rint, rlong, unwrap

from embedded_omero import pytest_plugin
from embedded_omero.script_runner import to_rtype

SCRIPT = """
import sys, time
import omero
import omero.scripts as scripts
from omero.rtypes import rlist, rlong, rmap, robject, rstring, wrap
client = scripts.client(
    "Plain.py", "Answers what it is given.",
    scripts.String("Text", values=[rstring("a"), rstring("b")]), scripts.Int("Int", min=1), scripts.Long("Long"),
    scripts.Float("Float"), scripts.Double("Double"), scripts.Bool("Flag"), scripts.List("IDs").ofType(rlong(0)),
    scripts.List("Names").ofType(rstring("")), scripts.Set("Some").ofType(rlong(0)), scripts.List("Any"),
    scripts.Object("Image"), scripts.Map("Map"), scripts.String("Spaced name"),
    scripts.Int("Seconds", default=0),
)
try:
    inputs = client.getInputs(unwrap=True)
    print("given", sorted(inputs))
    time.sleep(inputs.pop("Seconds"))
    if "Flag" in inputs and not inputs["Flag"]:
        print("not today", file=sys.stderr)
        sys.exit(3)
    if "Image" in inputs:
        client.setOutput("Object", robject(client.sf.getQueryService().get("Image", inputs.pop("Image").id.val)))
    if "Long" in inputs:
        client.setOutput("Long", rlong(inputs.pop("Long")))
    client.setOutput("Inputs", rmap({k: wrap(sorted(v) if isinstance(v, set) else v) for k, v in inputs.items()}))
    client.setOutput("User", rstring(client.sf.getAdminService().getEventContext().userName))
finally:
    client.closeSession()
"""


@pytest.fixture(scope="module")
def plain(omero_server):
    """Id of the script."""
    conn = BlitzGateway(omero_server.user, omero_server.password, host=omero_server.host, port=omero_server.port)
    assert conn.connect()
    id = conn.getScriptService().uploadOfficialScript("/tests/Plain.py", SCRIPT)
    yield id
    conn.getScriptService().deleteScript(id)
    conn.close()


def test_plain_values_in_and_out(omero_script, omero_user):
    values = {
        "Text": "a", "Int": 3, "Float": 0.5, "Double": 2, "Flag": True, "IDs": [1, 2],
        "Names": ("x", "y"), "Some": [7], "Any": ["z"], "Map": {"k": "v"},
    }  # fmt: skip
    run = omero_script(SCRIPT)({"Spaced name": "s", "Long": 1 << 40}, **values)
    assert (run.code, run.stderr) == (0, "")
    expected = {**values, "Spaced name": "s", "Double": 2.0, "Names": ["x", "y"]}
    assert run.outputs == {"Inputs": expected, "Long": 1 << 40, "User": omero_user.name}
    assert run.stdout == f"given {sorted([*expected, 'Long', 'Seconds'])}\n"


def test_objects(omero_conn, omero_script, plain):
    image = omero_conn.createImageFromNumpySeq(iter([np.zeros((4, 4), "u1")]), "seen")
    run = omero_script(plain)(Image=omero.model.ImageI(image.id, False))
    assert (run.outputs["Object"].id.val, run.outputs["Object"].name.val) == (image.id, "seen")


def test_failure(omero_script, plain):
    run = omero_script(plain)(Flag=False)
    assert (run.code, run.outputs, run.stderr) == (3, {}, "not today\n")
    assert run.stdout.startswith("given")


def test_files_and_other_users(omero_script, connect, tmp_path):
    (tmp_path / "Mine.py").write_text(SCRIPT)
    script = omero_script(tmp_path / "Mine.py", conn=connect())
    assert script(Int=5).outputs == {"Inputs": {"Int": 5}, "User": "root"}
    assert script.params.name == "Plain.py"
    assert omero_script(str(tmp_path / "Mine.py")).id != script.id


def test_removed_after_the_test(omero_server, connect, omero_conn):
    steps = pytest_plugin.omero_script._get_wrapped_function()(connect, omero_conn)
    id = next(steps)(SCRIPT).id
    assert omero_server.core.store.get("OriginalFile", id) is not None
    assert next(steps, None) is None
    assert omero_server.core.store.get("OriginalFile", id) is None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"Nope": 1}, "no input 'Nope'; its inputs are .*Text"),
        ({"Int": "1"}, "Input 'Int': RInt is expected, not '1'"),
        ({"Int": True}, "RInt is expected, not True"),
        ({"Text": 1}, "RString is expected, not 1"),
        ({"Float": "x"}, "RFloat"),
        ({"Flag": 1}, "RBool is expected, not 1"),
        ({"IDs": 1}, "a list is expected, not 1"),
        ({"IDs": "12"}, "a list is expected, not '12'"),
        ({"IDs": ["1"]}, "RLong is expected, not '1'"),
        ({"Image": 3}, "RObject is expected, not 3"),
    ],
)
def test_wrong_inputs(omero_script, plain, inputs, message):
    with pytest.raises(TypeError, match=message):
        omero_script(plain)(inputs)


@pytest.mark.parametrize(("inputs", "message"), [({"Int": 0}, "OUT OF BOUNDS"), ({"Text": "c"}, "VALUE LIST")])
def test_the_server_checks(omero_script, plain, inputs, message):
    with pytest.raises(omero.ValidationException, match=message):
        omero_script(plain)(inputs)


def test_what_has_a_type_keeps_it():
    assert to_rtype(rint(3), rlong(0)) == rint(3)
    assert unwrap(to_rtype(3, None)) == 3


def test_script_which_cannot_be_read(omero_script):
    with pytest.raises(omero.ApiUsageException, match="SyntaxError"):
        omero_script("import omero\ndef (:\n")


def test_script_which_does_not_end_is_terminated(omero_script, omero_server, plain):
    with pytest.raises(TimeoutError, match="did not end within 0.5 s"):
        omero_script(plain, timeout=0.5)(Seconds=60)
    deadline = time.monotonic() + 10
    while omero_server.core.processors.running():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- in a project of others


def run_pytest(folder, *options):
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    without = [option for name in ("cacheprovider", "napari", "npe2") for option in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", *without, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_every_warning_may_be_an_error(tmp_path):
    """omero-py has warnings of its own; whatever the project makes of warnings, they do not count."""
    (tmp_path / "test_theirs.py").write_text(
        "import warnings\n"
        "import pytest\n"
        "def test_of_omero(omero_server, omero_user, make_user, connect, omero_conn, omero_script):\n"
        "    import omero.gateway\n"
        "    project = omero.gateway.ProjectWrapper(omero_conn, omero.model.ProjectI())\n"
        "    project.setName('theirs')\n"
        "    project.save()\n"
        "    omero_conn.deleteObjects('Project', [project.id], wait=True)\n"
        "    table = omero_conn.c.sf.sharedResources().newTable(1, 'with blanks')\n"
        "    table.initialize([omero.grid.LongColumn('Cell count', '', [])])\n"
        "    table.close()\n"
        "def test_of_theirs():\n"
        "    with pytest.raises(DeprecationWarning):\n"
        "        warnings.warn('theirs', DeprecationWarning)\n"
    )
    result = run_pytest(tmp_path, "-q")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout
    assert "warning" not in result.stdout


def test_costs_nothing_when_unused(tmp_path):
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_nothing_is_imported():\n"
        "    assert 'embedded_omero.pytest_plugin' in sys.modules\n"
        "    roots = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not roots & {'omero', 'Ice', 'IcePy', 'Glacier2', 'PIL', 'cryptography'}\n"
    )
    result = run_pytest(tmp_path, "-q")
    assert result.returncode == 0, result.stdout + result.stderr


def test_fixtures_explain_themselves(tmp_path):
    listed = run_pytest(tmp_path, "--fixtures").stdout
    for name in ("omero_server", "make_user", "omero_user", "connect", "omero_conn", "omero_script"):
        line = next(line for line in listed.splitlines() if line.startswith(name))
        assert "pytest_plugin.py" in line
