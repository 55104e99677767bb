"""What OMERO.web relies on: it makes a client for every request, all of them in one session."""

import time

import Ice
import omero
import pytest
from omero.cmd import Delete2, HandlePrx, OriginalMetadataRequest
from omero.grid import ScriptProcessPrx
from omero.rtypes import unwrap

from embedded_omero.commands.original_metadata import tiff_tags
from tests.embedded import images

SCRIPT = """
import omero.scripts
from omero.rtypes import rstring
client = omero.scripts.client("Say.py", "Says so.")
client.setOutput("Message", rstring("said"))
client.closeSession()
"""


@pytest.fixture
def requests(omero_server, omero_user):
    """Function which makes another client of one session, as another request would; and leaves with the last one."""
    login = omero.client(omero_server.host, omero_server.port)
    session = login.createSession(omero_user.name, omero_user.password)
    session.detachOnDestroy()
    clients = [login]

    def another():
        clients.pop().closeSession()
        client = omero.client(omero_server.host, omero_server.port)
        client.joinSession(session.ice_getIdentity().name).detachOnDestroy()
        clients.append(client)
        return client

    yield another
    clients.pop().killSession()


@pytest.fixture
def script(omero_server, connect):
    return connect().getScriptService().uploadOfficialScript(f"/web/{time.time_ns()}/Say.py", SCRIPT)


def test_a_script_outlives_the_client_which_started_it(requests, script):
    first = requests()
    text = str(first.sf.getScriptService().runScript(script, {}, None))
    assert text.startswith("ProcessCallback/")
    limit = time.monotonic() + 60
    while True:
        process = ScriptProcessPrx.checkedCast(requests().ic.stringToProxy(text))
        code = process.poll()
        if code is not None:
            break
        assert time.monotonic() < limit, "the script does not end"
        time.sleep(0.05)
    assert code.val == 0
    assert unwrap(process.getResults(0)["Message"]) == "said"


def test_a_handle_outlives_its_client(requests):
    text = str(requests().sf.submit(Delete2({"Image": [999_999]})))
    handle = HandlePrx.checkedCast(requests().ic.stringToProxy(text))
    assert isinstance(handle.getResponse(), omero.cmd.GraphException)
    handle.close()
    with pytest.raises(Ice.ObjectNotExistException):
        HandlePrx.checkedCast(requests().ic.stringToProxy(text))


def test_a_handle_goes_with_the_session(omero_server, omero_user):
    client = omero.client(omero_server.host, omero_server.port)
    client.createSession(omero_user.name, omero_user.password)
    identity = client.sf.submit(Delete2({"Image": [999_999]})).ice_getIdentity()
    assert omero_server.core.adapter.find(identity) is not None
    client.closeSession()
    assert omero_server.core.adapter.find(identity) is None


def test_guests_need_no_password(omero_server):
    client = omero.client(omero_server.host, omero_server.port)
    try:
        context = client.createSession("guest", "anything").getAdminService().getEventContext()
        assert (context.userName, context.groupName, context.isAdmin) == ("guest", "guest", False)
    finally:
        client.closeSession()


def test_free_space(omero_conn):
    assert omero_conn.getFreeSpace() > 0


@pytest.mark.parametrize(
    ("query", "everywhere"),
    [
        ("select e from Experimenter e where e.omeName = :name", "rw----"),
        ("select t from PixelsType t where 'uint8' = t.value and :name = :name", "rwr-r-"),
    ],
)
def test_rights_of_what_no_group_owns(omero_conn, omero_user, query, everywhere):
    """Those of the group in whose context they are asked for; without one, those with which they were made."""
    name = omero.sys.ParametersI().addString("name", omero_user.name)
    for group, wanted in ((str(omero_user.group_id), "rwra--"), ("-1", everywhere)):
        context = {**omero_conn.SERVICE_OPTS, "omero.group": group}
        found = omero_conn.getQueryService().findByQuery(query, name, context)
        assert str(found.details.permissions) == wanted


def test_original_metadata(one, omero_conn, tmp_path):
    """Of a plain TIFF file its tags; of an OME-TIFF file, and for an image without a file, nothing."""
    path = tmp_path / "plain.tif"
    images.tifffile.imwrite(path, images.slope(30, 20), resolution=(10_000, 10_000), resolutionunit="CENTIMETER")
    assert one(path).loadOriginalMetadata() == (None, [
        ("BitsPerSample", 8), ("Compression", "Uncompressed"), ("ImageLength", 30), ("ImageWidth", 20),
        ("MetaDataPhotometricInterpretation", "Monochrome"), ("MetaMorph", "no"), ("NumberOfChannels", 1),
        ("PhotometricInterpretation", "BlackIsZero"), ("ResolutionUnit", "Centimeter"), ("SamplesPerPixel", 1),
        ("Software", "tifffile.py"), ("XResolution", 10_000.0), ("YResolution", 10_000.0),
    ], [])  # fmt: skip
    assert one(images.five_d(tmp_path)[0]).loadOriginalMetadata() == (None, [], [])
    made = omero_conn.createImageFromNumpySeq(iter([images.slope(8, 8)]), "made")
    assert made.loadOriginalMetadata() == (None, [], [])


def test_original_metadata_of_imagej(tmp_path):
    path = tmp_path / "imagej.tif"
    images.tifffile.imwrite(path, images.slope(6, 8), imagej=True, metadata={"unit": "um", "spacing": 2.5})
    found = tiff_tags(path)
    assert (found["Unit"], found["Spacing"], found["Color mode"]) == ("um", 2.5, "grayscale")


def test_no_original_metadata_of_what_one_may_not_see(importer, make_user, connect, tmp_path):
    (result,) = importer(images.five_d(tmp_path)[0])
    stranger = connect(make_user())
    handle = stranger.c.sf.submit(OriginalMetadataRequest(result.image_ids[0]))
    response = handle.getResponse()
    assert isinstance(response, omero.cmd.ERR)
    assert "Cannot read" in response.parameters["message"]
