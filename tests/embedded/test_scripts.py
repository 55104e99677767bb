"""Scripts through the real processor: upload, parameters, runs, cancel, faults."""

import time

import Ice
import omero
import omero.processor
import omero.scripts
import pytest
from omero.rtypes import rint, rlist, rlong, unwrap

SCRIPT = """import omero.scripts as scripts
from omero.rtypes import rstring
client = scripts.client("A_Script.py", "Text", scripts.Int("N", default=2, min=1, max=5),
                        scripts.List("IDs", optional=False).ofType(omero.rtypes.rlong(0)))
try:
%s
finally:
    client.closeSession()
"""


def body(text):
    return "import omero\n" + SCRIPT % "\n".join("    " + line for line in text.splitlines())


@pytest.fixture
def upload(connect, request):
    """Upload an official script; removed after the test."""
    service = connect().getScriptService()
    made = []

    def make(text, name="A_Script.py"):
        made.append(service.uploadOfficialScript(f"/tests/{request.node.name}/{name}", text))
        return made[-1]

    yield make
    for id in made:
        service.deleteScript(id)


def wait_for(condition, seconds=10):
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def finish(conn, script, seconds=30, **inputs):
    """Run a script to its end: (code, outputs, process)."""
    inputs.setdefault("IDs", rlist([rlong(1)]))
    process = conn.getScriptService().runScript(script, inputs, None)
    assert wait_for(lambda: process.poll() is not None, seconds)
    return process.poll().val, process.getResults(0), process


def text_of(conn, file):
    return b"".join(conn.getObject("OriginalFile", file.val.id.val).getFileInChunks()).decode()


def test_run_gives_outputs_and_streams(omero_conn, upload):
    script = upload(
        body('print("n is", client.getInput("N", unwrap=True))\nclient.setOutput("Message", rstring("done"))')
    )
    code, results, _ = finish(omero_conn, script, N=rint(4))
    assert code == 0
    assert unwrap(results["Message"]) == "done"
    assert text_of(omero_conn, results["stdout"]).strip() == "n is 4"
    assert "stderr" not in results


def test_failure_is_visible(omero_conn, upload):
    code, results, process = finish(omero_conn, upload(body('raise ValueError("boom")')))
    assert code == 1
    assert "ValueError: boom" in text_of(omero_conn, results["stderr"])
    job = omero_conn.getQueryService().findByQuery(
        f"select j from ScriptJob j join fetch j.status where j.id = {process.getJob().id.val}", None
    )
    assert job.status.value.val == "Error"


def test_session_of_the_caller(omero_conn, omero_user, upload):
    script = upload(
        body('client.setOutput("Message", rstring(client.sf.getAdminService().getEventContext().userName))')
    )
    assert unwrap(finish(omero_conn, script)[1]["Message"]) == omero_user.name


def test_bad_parameters_start_nothing(omero_conn, upload):
    script = upload(body("pass"))
    service = omero_conn.getScriptService()
    with pytest.raises(omero.ValidationException, match='OUT OF BOUNDS for "N"'):
        service.runScript(script, {"IDs": rlist([rlong(1)]), "N": rint(9)}, None)
    with pytest.raises(omero.ValidationException, match='MISSING INPUT for "IDs"'):
        service.runScript(script, {}, None)


def test_message_while_running(omero_conn, upload):
    script = upload(body(
        'handle = client.sf.createJobHandle()\nhandle.attach(int(client.getProperty("omero.job")))\n'
        'handle.setMessage("half way " + "x" * 300)\nhandle.close()'
    ))  # fmt: skip
    _, _, process = finish(omero_conn, script)
    message = process.getJob().message.val
    assert message.startswith("half way")
    assert len(message) == 255


def test_cancel_sends_sigterm(omero_conn, upload):
    process = omero_conn.getScriptService().runScript(
        upload(body("import time; time.sleep(60)")), {"IDs": rlist([rlong(1)])}, None
    )
    time.sleep(0.5)
    assert process.poll() is None
    assert process.cancel() is False
    assert wait_for(lambda: process.poll() is not None)
    assert process.poll().val == -15


def test_script_dies_with_the_session_which_launched_it(omero_server, connect, make_user, upload, tmp_path):
    flag = tmp_path / "alive"
    script = upload(
        body(f"import time\nfor i in range(600):\n    open({str(flag)!r}, 'w').write(str(i)); time.sleep(0.05)")
    )
    conn = connect(make_user())
    conn.getScriptService().runScript(script, {"IDs": rlist([rlong(1)])}, None)
    assert wait_for(flag.exists)
    conn.close()
    assert wait_for(lambda: not omero_server.core.processors.running())
    last = flag.read_text()
    time.sleep(0.3)
    assert flag.read_text() == last


def test_script_session_ends_after_its_time_to_live(omero_server, omero_conn, upload):
    script = upload(
        body("import time\nfor i in range(100):\n    time.sleep(0.1); client.sf.getAdminService().getEventContext()")
    )
    omero_server.knobs.script_seconds = 1
    try:
        code, results, _ = finish(omero_conn, script)
    finally:
        omero_server.knobs.script_seconds = 0
    assert code != 0


def test_upload_of_a_broken_script_leaves_nothing(connect):
    service = connect().getScriptService()
    with pytest.raises(omero.ValidationException, match="Can't find params") as refused:
        service.uploadOfficialScript("/tests/Broken.py", "import no_such_module_here")
    assert "no_such_module_here" in refused.value.message
    assert service.getScriptID("/tests/Broken.py") == -1


def test_only_administrators_upload(omero_conn):
    with pytest.raises(omero.SecurityViolation, match="No permission to upload script"):
        omero_conn.getScriptService().uploadOfficialScript("/tests/Mine.py", body("pass"))


def test_edit_keeps_the_id_and_parses_again(connect, upload):
    service = connect().getScriptService()
    script = upload(body("pass"))
    assert "N" in service.getParams(script).inputs
    service.editScript(omero.model.OriginalFileI(script, False), body("pass").replace('"N"', '"M"'))
    assert "M" in service.getParams(script).inputs


def test_nobody_to_run_it(omero_server, omero_conn, upload):
    script = upload(body("pass"))
    omero_server.knobs.busy = 1
    with pytest.raises(omero.NoProcessorAvailable, match=r"No processor available! \[0 response\(s\)\]"):
        omero_conn.getScriptService().runScript(script, {"IDs": rlist([rlong(1)])}, None)
    assert finish(omero_conn, script)[0] == 0


def test_check_of_the_processor_lets_running_scripts_live(omero_server, omero_conn, upload):
    """omero-py's processor looks at its scripts once a minute, and kills those whose session has ended."""
    script = upload(body("import time; time.sleep(60)"))
    process = omero_conn.getScriptService().runScript(script, {"IDs": rlist([rlong(1)])}, None)
    servants = omero_server._processor._impl.ctx.servant_map.values()
    running = [s for s in servants if isinstance(s, omero.processor.ProcessI) and s.isRunning()]
    assert len(running) == 1
    assert running[0].check()
    assert process.poll() is None
    process.cancel()
    assert wait_for(lambda: process.poll() is not None)


def test_no_processor_at_all(omero_server, omero_conn, upload):
    script = upload(body("pass"))
    omero_server.stop_processor()
    try:
        with pytest.raises(omero.NoProcessorAvailable, match=r"\[0 response\(s\)\]"):
            omero_conn.getScriptService().runScript(script, {"IDs": rlist([rlong(1)])}, None)
    finally:
        omero_server.start_processor()
    assert finish(omero_conn, script)[0] == 0


def test_failing_upload(omero_server, omero_conn, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("text")
    omero_server.knobs.failing_writes = 1
    with pytest.raises(omero.ResourceError, match="No space left on device"):
        omero_conn.c.upload(str(path))
    assert omero_conn.c.upload(str(path)).id.val > 0


def test_dropped_connection(omero_server, omero_user):
    client, other = (omero.client(omero_server.host, omero_server.port) for _ in range(2))
    try:
        client.createSession(omero_user.name, omero_user.password).detachOnDestroy()
        uuid = client.getSessionId()
        assert omero_server.drop_connections(omero_user.name) == 1
        # Ice connects anew by itself, but what lived on the server for the old connection is gone.
        with pytest.raises((Ice.ConnectionLostException, Ice.ObjectNotExistException)):
            client.sf.getAdminService().getEventContext()
        session = omero_server.core.sessions.open[uuid]
        assert wait_for(lambda: not session.clients)
        assert other.joinSession(uuid).getAdminService().getEventContext().userName == omero_user.name
    finally:
        for each in (client, other):
            each.__del__()
