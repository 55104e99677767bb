"""The script service: upload, parameters, runs, outputs, errors, cancel. Needs a processor."""

import time

import omero
import omero.scripts
from omero.rtypes import rint, rlist, rlong, rstring, unwrap

from embedded_omero.conformance import Id, case

HELLO = '''import omero, sys
import omero.scripts as scripts
from omero.rtypes import rstring, rlong, robject
client = scripts.client("Hello.py", """Says hello.
Second line.""",
    scripts.String("Data_Type", optional=False, grouping="1", description="what", values=[rstring("Image"), rstring("Dataset")], default="Image"),
    scripts.List("IDs", optional=False, grouping="2").ofType(rlong(0)),
    scripts.Int("N", min=1, max=5, default=2, grouping="3.1"),
    scripts.Float("F", optional=True, grouping="3", default=1.5),
    scripts.Bool("B", default=True),
    scripts.String("S"),
    scripts.Map("M"),
    scripts.Long("Out").out(),
    version="1.2.3", authors=["A", "B"], institutions=["I"], contact="c@example.org",
    namespaces=[omero.constants.namespaces.NSDYNAMIC])
try:
    print("hello", client.getInput("N", unwrap=True))
    sys.stderr.write("on stderr")
    client.setOutput("Message", rstring("done"))
    client.setOutput("Out", rlong(client.getInput("N", unwrap=True) * 2))
    client.setOutput("Keys", rstring(",".join(sorted(client.getInputKeys()))))
    ec = client.sf.getAdminService().getEventContext()
    client.setOutput("Who", rstring(ec.userName + " " + ec.groupName))
finally:
    client.closeSession()
'''
SIMPLE = """import omero.scripts as scripts
client = scripts.client("Simple", "text", scripts.Int("N"))
%s
client.closeSession()
"""


def upload(w, path, text, official=True, who="root"):
    """Upload once per name; gives the id."""
    key = ("Script", path)
    if key not in w.ids:
        s = w.sf(who).getScriptService()
        full = f"/conf.{w.token}/{path}"
        w.ids[key] = s.uploadOfficialScript(full, text) if official else s.uploadScript(full, text)
    return w.ids[key]


def run(w, who, sid, inputs=None, wait=60, group=None):
    """Run a script to its end: return code, output values, event of the callback."""
    s = w.sf(who).getScriptService()
    proc = s.runScript(sid, inputs or {}, None, w.ctx(f"{who}@{group}") if group else None)
    cb = omero.scripts.ProcessCallbackI(w.client(who), proc)
    end = time.time() + wait
    event = None
    while event is None and time.time() < end:
        event = cb.block(500)
    rc = proc.poll()
    out = {"event": str(event), "rc": rc, "results": {}}
    for k, v in proc.getResults(0).items():
        if k in ("stdout", "stderr"):
            f = v.val
            store = w.sf(who).createRawFileStore()
            store.setFileId(f.id.val)
            text = store.read(0, store.size()).decode()
            store.close()
            out["results"][k] = {
                "class": f.__class__.__name__,
                "loaded": f.isLoaded(),
                "mimetype": f.mimetype if f.isLoaded() else None,
                "text": [x for x in text.splitlines() if x.strip() and "communicator" not in x][-1:],
            }
        else:
            out["results"][k] = v
    job = proc.getJob()
    out["job"] = {"class": job.__class__.__name__, "loaded": job.isLoaded()}
    full = (
        w.sf(who)
        .getQueryService()
        .findByQuery(
            f"select j from ScriptJob j join fetch j.status where j.id={job.id.val}", None, {"omero.group": "-1"}
        )
    )
    if full is not None:
        out["job"].update(
            status=full.status.value,
            message=full.message,
            username=full.username,
            groupname=full.groupname,
            type=full.type,
            finished=full.finished is not None,
            scheduled=full.scheduledFor is not None,
            started=full.started is not None,
            owner=Id("Experimenter", full.details.owner.id.val),
        )
    cb.close()
    proc.close(True)
    return out


def hello(w):
    return upload(w, "Hello.py", HELLO)


def inputs(**kw):
    return dict({"Data_Type": rstring("Image"), "IDs": rlist([rlong(1)])}, **kw)


@case("scripts")
def get_params(w):
    p = w.sf("alice").getScriptService().getParams(hello(w))

    def prm(x):
        return {
            k: getattr(x, k)
            for k in (
                "optional",
                "useDefault",
                "prototype",
                "min",
                "max",
                "values",
                "grouping",
                "description",
                "namespaces",
            )
        }

    return {
        "name": p.name,
        "description": p.description,
        "version": p.version,
        "authors": p.authors,
        "institutions": p.institutions,
        "contact": p.contact,
        "namespaces": p.namespaces,
        "authorsInstitutions": p.authorsInstitutions,
        "stdout": p.stdoutFormat,
        "stderr": p.stderrFormat,
        "inputs": {k: prm(v) for k, v in p.inputs.items()},
        "outputs": {k: prm(v) for k, v in p.outputs.items()},
    }


@case("scripts")
def list_and_lookup(w, a):
    s = w.sf("alice").getScriptService()
    sid = hello(w)
    path = f"/conf.{w.token}/Hello.py"
    a("getScriptID", lambda: s.getScriptID(path) == sid)
    a("without leading slash", lambda: s.getScriptID(path[1:]) == sid)
    a("unknown path", lambda: s.getScriptID("/no/such/script.py"))
    mine = [f for f in s.getScripts() if f.id.val == sid]
    a(
        "in getScripts",
        lambda: [
            {
                "name": f.name,
                "path": f.path,
                "mimetype": f.mimetype,
                "size": f.size,
                "hash": f.hash is not None,
                "repo": f.repo,
                "owner": f.details.owner.id.val,
                "group": f.details.group.id.val,
                "permissions": f.details.permissions,
            }
            for f in mine
        ],
    )
    a("text", lambda: s.getScriptText(sid) == HELLO)
    a("getScriptWithDetails", lambda: [(k == HELLO, f.val.name) for k, f in s.getScriptWithDetails(sid).items()])
    a("getScriptsByMimetype", lambda: sid in [f.id.val for f in s.getScriptsByMimetype("text/x-python")])
    a("other mimetype", lambda: [f.name for f in s.getScriptsByMimetype("text/x-nope")])
    a("sorted by", lambda: (lambda p: p == sorted(p))([f.path.val + f.name.val for f in s.getScripts()]))
    a("params of unknown id", lambda: s.getParams(99999999))
    a("text of unknown id", lambda: s.getScriptText(99999999))


@case("scripts")
def run_ok(w):
    return run(w, "alice", hello(w), inputs(N=rint(4)))


@case("scripts")
def run_with_defaults(w):
    return run(w, "alice", hello(w), inputs())


@case("scripts")
def run_bad_inputs(w, a):
    s = w.sf("alice").getScriptService()
    sid = hello(w)

    def start(values):
        proc = s.runScript(sid, values, None)
        proc.cancel()
        proc.close(False)
        return "accepted"

    a("missing", lambda: start({}))
    a("one missing", lambda: start({"Data_Type": rstring("Image")}))
    a("wrong type", lambda: start(inputs(N=rstring("x"))))
    a("long for int", lambda: start(inputs(N=rlong(2))))
    a("too big", lambda: start(inputs(N=rint(9))))
    a("too small", lambda: start(inputs(N=rint(0))))
    a("not in values", lambda: start({"Data_Type": rstring("Plate"), "IDs": rlist([rlong(1)])}))
    a("list of strings", lambda: start({"Data_Type": rstring("Image"), "IDs": rlist([rstring("a")])}))
    a("scalar for list", lambda: start({"Data_Type": rstring("Image"), "IDs": rlong(1)}))
    a("unknown input", lambda: start(inputs(Nope=rint(1))))
    a("unknown script", lambda: s.runScript(99999999, {}, None))
    a("not a script", lambda: s.runScript(w.id("OriginalFile", "notes.csv"), {}, None))


@case("scripts")
def exception_in_script(w):
    return run(w, "alice", upload(w, "Fails.py", SIMPLE % "raise Exception('boom')"))


@case("scripts")
def exit_code(w):
    return run(w, "alice", upload(w, "Exit.py", SIMPLE % "import sys; sys.stdout.write('out'); sys.exit(3)"))


@case("scripts")
def no_output_at_all(w):
    return run(w, "alice", upload(w, "Quiet.py", SIMPLE % "pass"))


@case("scripts")
def file_annotation_output(w):
    body = """import omero
from omero.rtypes import rstring, robject
fa = omero.model.CommentAnnotationI()
fa.textValue = rstring("from script")
fa = client.sf.getUpdateService().saveAndReturnObject(fa)
client.setOutput("File_Annotation", robject(fa))
client.setOutput("Unloaded", robject(omero.model.CommentAnnotationI(fa.id.val, False)))
"""
    return run(w, "alice", upload(w, "Object.py", SIMPLE % body))


@case("scripts")
def job_message(w):
    body = """h = client.sf.createJobHandle()
h.attach(int(client.getProperty("omero.job")))
h.setMessage("half way")
h.close()
"""
    return run(w, "alice", upload(w, "Message.py", SIMPLE % body))


@case("scripts")
def run_in_group(w):
    return run(w, "alice", hello(w), inputs(), group="rw")


@case("scripts")
def context_without_client_uuid(w):
    """A call context with omero.group alone lacks omero.client.uuid, which services with a state need."""
    return w.sf("alice").getScriptService().runScript(hello(w), inputs(), None, {"omero.group": str(w.group("rw"))})


@case("scripts")
def cancel(w, a):
    sid = upload(w, "Sleep.py", SIMPLE % "import time; time.sleep(60)")
    proc = w.sf("alice").getScriptService().runScript(sid, {}, None)
    cb = omero.scripts.ProcessCallbackI(w.client("alice"), proc)
    time.sleep(3)
    a("poll", lambda: proc.poll())
    a("results while running", lambda: sorted(proc.getResults(0)))
    a("cancel", lambda: proc.cancel())
    a("event", lambda: str(cb.block(10000)) in ("CANCELLED", "FINISHED"))  # both are sent, the first one wins
    time.sleep(2)
    a("poll after", lambda: proc.poll())
    a("results", lambda: sorted(proc.getResults(0)))
    a("second cancel", lambda: proc.cancel())
    job = proc.getJob()
    a(
        "status",
        lambda: unwrap(
            w.sf("alice")
            .getQueryService()
            .projection(f"select j.status.value, j.message from Job j where j.id={job.id.val}", None)
        ),
    )
    cb.close()
    proc.close(False)


@case("scripts")
def process_calls(w, a):
    proc = w.sf("alice").getScriptService().runScript(hello(w), inputs(), None)
    a("wait", lambda: proc.wait())
    a("poll after wait", lambda: proc.poll())
    a("results", lambda: sorted(proc.getResults(0)))
    a("results again", lambda: sorted(proc.getResults(0)))
    a("poll after results", lambda: proc.poll())
    a("job", lambda: proc.getJob().__class__.__name__)
    a("setMessage", lambda: proc.setMessage("by the client"))
    a("close", lambda: proc.close(True))
    a("after close", lambda: proc.poll())


@case("scripts")
def upload_errors(w, a):
    s = w.sf("root").getScriptService()
    base = f"/conf.{w.token}/"
    a("import error", lambda: s.uploadOfficialScript(base + "Bad1.py", "import no_such_module"))
    a("listed nevertheless", lambda: s.getScriptID(base + "Bad1.py") > 0)
    a("params of it", lambda: s.getParams(s.getScriptID(base + "Bad1.py")))
    a("syntax error", lambda: s.uploadOfficialScript(base + "Bad2.py", "def ("))
    a("no client", lambda: s.uploadOfficialScript(base + "Bad3.py", "print(1)"))
    a("empty", lambda: s.uploadOfficialScript(base + "Bad4.py", ""))
    a("same path twice", lambda: (hello(w), s.uploadOfficialScript(base + "Hello.py", HELLO))[1])
    a("by user", lambda: w.sf("alice").getScriptService().uploadOfficialScript(base + "ByUser.py", SIMPLE % "pass"))
    a("not .py", lambda: s.uploadOfficialScript(base + "Hello.txt", SIMPLE % "pass") > 0)


@case("scripts")
def edit(w, a):
    s = w.sf("root").getScriptService()
    path = f"/conf.{w.token}/Edit.py"
    sid = s.uploadOfficialScript(path, SIMPLE % "pass")
    f = omero.model.OriginalFileI(sid, False)
    new = SIMPLE.replace("Simple", "Changed") % "pass"
    a("edit unloaded", lambda: s.editScript(f, new))
    loaded = w.sf("root").getQueryService().get("OriginalFile", sid)
    a("edit loaded", lambda: s.editScript(loaded, new))
    a("id kept", lambda: s.getScriptID(path) == sid)
    a("text", lambda: s.getScriptText(sid) == new)
    a("params", lambda: s.getParams(sid).name)
    a("by user", lambda: w.sf("alice").getScriptService().editScript(loaded, SIMPLE % "1"))
    a("canRunScript", lambda: w.sf("alice").getScriptService().canRunScript(sid))
    a("delete", lambda: s.deleteScript(sid))
    a("after delete", lambda: s.getScriptID(path))


@case("scripts")
def user_script(w, a):
    s = w.sf("alice").getScriptService()
    sid = s.uploadScript(f"/conf.{w.token}/User.py", SIMPLE % "pass")
    a("in getScripts", lambda: sid in [f.id.val for f in s.getScripts()])
    a("in getUserScripts", lambda: sid in [f.id.val for f in s.getUserScripts([])])
    a(
        "getUserScripts of me",
        lambda: (
            sid
            in [f.id.val for f in s.getUserScripts([omero.model.ExperimenterI(w.id("Experimenter", "alice"), False)])]
        ),
    )
    a("text", lambda: s.getScriptText(sid) == SIMPLE % "pass")
    a("params without processor", lambda: s.getParams(sid).name)
    a("run without processor", lambda: s.runScript(sid, {}, None))
    a("canRunScript", lambda: s.canRunScript(sid))
    a(
        "file",
        lambda: (lambda f: {"mimetype": f.mimetype, "path": f.path, "name": f.name})(
            w.sf("alice").getQueryService().get("OriginalFile", sid)
        ),
    )
    a("edit", lambda: s.editScript(w.sf("alice").getQueryService().get("OriginalFile", sid), SIMPLE % "2"))
    a("delete", lambda: s.deleteScript(sid))


@case("scripts")
def job_handle(w, a):
    h = w.sf("alice").createJobHandle()
    job = omero.model.ScriptJobI()
    job.username = job.groupname = job.type = rstring("x")
    a("unset", lambda: h.jobStatus())
    a("submit", lambda: h.submit(job) > 0)
    a("status", lambda: h.jobStatus())
    a("job", lambda: {k: getattr(h.getJob(), k) for k in ("username", "groupname", "type", "message")})
    a("finished", lambda: h.jobFinished())
    a("running", lambda: h.jobRunning())
    a("setMessage", lambda: h.setMessage("m"))
    a("jobMessage", lambda: h.jobMessage())
    a("setStatus", lambda: h.setStatus("Running"))
    a("bad status", lambda: h.setStatus("Nope"))
    a("cancel", lambda: h.cancelJob())
    a("attach unknown", lambda: h.attach(99999999))
    h.close()
