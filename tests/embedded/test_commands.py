"""Requests which consist of others, requests about sessions, and the handles of all of them."""

import Ice
import omero
import omero.callbacks
import omero.gateway
import pytest
from omero.cmd import CurrentSessionsRequest, Delete2, DoAll, SkipHead, UpdateSessionTimeoutRequest
from omero.rtypes import rlong, rstring

from tests.embedded.lab import numbers, targets

# -- requests about requests, and about sessions


def test_several_requests_all_or_none(lab):
    datasets = [lab.make("Dataset") for _ in range(2)]
    requests = [Delete2(targets([d])) for d in datasets]
    lab.refusal(DoAll([*requests, Delete2({"Dataset": [99]})]))
    response = lab.run(DoAll(requests))
    assert [numbers(r.deletedObjects) for r in response.responses] == [{"Dataset": 1}] * 2
    assert lab.there(*datasets) == [False, False]


def test_requests_of_one_sequence_see_what_went_before(lab):
    images, tag = [lab.image(n) for n in "ab"], lab.make("TagAnnotation")
    for image in images:
        lab.link(image, tag)
    lab.run(DoAll([Delete2(targets([i])) for i in images]))
    assert lab.there(tag) == [False]


def test_skip_head_starts_below(lab):
    project, dataset, image = lab.make("Project"), lab.make("Dataset"), lab.image()
    lab.link(project, dataset)
    lab.link(dataset, image)
    request = SkipHead(targets([project]), startFrom=["Image"], request=Delete2())
    dry = SkipHead(targets([project]), startFrom=["Image"], request=Delete2(), dryRun=True)
    assert lab.run(dry).deletedObjects == lab.run(request).deletedObjects
    assert lab.there(project, dataset, image) == [True, True, False]


def test_unknown_requests_are_refused_by_name(lab):
    assert lab.refusal(omero.cmd.ManageImageBinaries()) == (
        "not-implemented: not implemented: ::omero::cmd::ManageImageBinaries"
    )


def test_sessions_of_others_are_hidden(lab):
    seen = lab.run(CurrentSessionsRequest())
    own = [s is not None for s in seen.sessions]
    assert [c.userName for c in seen.contexts] == ["alice", "bob", "carol", "root"]
    assert own == [True, False, False, False]
    assert [sorted(d) for d in seen.data] == [["hitCount", "lastAccessTime"], [], [], []]
    assert not seen.contexts[1].sessionUuid
    assert all(s is not None for s in lab.run(CurrentSessionsRequest(), "root").sessions)


TOO_LONG = "non-admin-increase: only administrators may raise timeToIdle above 6000000 ms"


@pytest.mark.parametrize(
    ("who", "values", "message"),
    [
        ("alice", {"timeToIdle": 1_000_000}, None),
        ("alice", {"timeToIdle": 10**9}, TOO_LONG),
        ("alice", {"timeToIdle": 0}, TOO_LONG),
        ("alice", {"timeToIdle": -1}, "bad-timeout: timeToIdle cannot be negative: -1"),
        ("alice", {"timeToLive": 5_000_000}, None),
        ("root", {"timeToIdle": 10**9}, None),
        ("bob", {"timeToIdle": 1}, "no-session: no session of yours: "),
    ],
)
def test_session_timeouts(lab, who, values, message):
    session = lab.sessions["alice"]
    request = UpdateSessionTimeoutRequest(session.uuid, **{k: rlong(v) for k, v in values.items()})
    if message is None:
        lab.run(request, who)
        assert [session.record[k] for k in values] == list(values.values())
    else:
        assert lab.refusal(request, who).startswith(message)


# -- handles, over the wire

omero_callbacks = pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")


def new_dataset(conn):
    dataset = omero.model.DatasetI()
    dataset.name = rstring("temporary")
    return conn.getUpdateService().saveAndReturnObject(dataset).id.val


@omero_callbacks
def test_handle_tells_status_and_response(omero_conn):
    handle = omero_conn.c.sf.submit(Delete2({"Dataset": [new_dataset(omero_conn)]}), omero_conn.SERVICE_OPTS)
    callback = omero.callbacks.CmdCallbackI(omero_conn.c, handle)
    assert numbers(callback.loop(20, 500).deletedObjects) == {"Dataset": 1}
    status = handle.getStatus()
    assert (status.currentStep, status.steps, status.flags) == (5, 6, [])
    assert status.stopTime >= status.startTime > 0
    assert isinstance(handle.getRequest(), Delete2)
    assert handle.cancel() is False
    callback.close(True)
    with pytest.raises(Ice.ObjectNotExistException):
        handle.getStatus()


def test_handle_of_a_refused_command(omero_conn):
    handle = omero_conn.c.sf.submit(Delete2({"Dataset": [99999999]}, dryRun=True), omero_conn.SERVICE_OPTS)
    response = handle.getResponse()
    assert isinstance(response, omero.cmd.GraphException)
    assert (response.category, response.name) == ("::omero::cmd::Delete2", "graph-fail")
    status = handle.getStatus()
    assert {str(f) for f in status.flags} == {"CANCELLED", "FAILURE"}
    assert (status.currentStep, status.steps) == (0, 4)
    handle.close()


@omero_callbacks
def test_gateway_raises_for_a_refused_command(omero_conn):
    with pytest.raises(omero.CmdError):
        omero_conn.deleteObjects("Dataset", [99999999], wait=True)


def test_nothing_is_done_without_a_handle(omero_conn):
    """A call which lacks the client's id gets no handle, and must not delete either."""
    dataset = new_dataset(omero_conn)
    with pytest.raises(Ice.UnknownUserException, match="InternalException"):
        omero_conn.c.sf.submit(Delete2({"Dataset": [dataset]}), {"omero.group": "-1"})
    assert omero_conn.getObject("Dataset", dataset) is not None
