"""Files attached to images: complete, found again, replaced; nothing left of what failed."""

import hashlib
import time

import numpy as np
import omero
import pytest
import tifffile

from openhcs_core.omero import results, upload
from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.results import NAMESPACE, Origin, attach, find_attachment, sweep_uploads
from openhcs_core.omero.session import gateway, in_group

ORIGIN = Origin("whole image, fast", "0123456789abcdef")


def silent(done, total):
    """Progress that nobody watches."""


@pytest.fixture
def image(make_image, voxels):
    return make_image(voxels(1, 1, 1, 8, 8))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "scratch.ims"
    path.write_bytes(bytes(range(256)) * 41)
    return path


def original_files(conn):
    """Number of files of the user in OMERO."""
    return len(list(conn.getObjects("OriginalFile", opts={"owner": conn.getUserId()})))


def annotations(conn, image):
    return [a.getId() for a in conn.getObject("Image", image.getId()).listAnnotations(NAMESPACE)]


def test_attached_file(conn, image, file, monkeypatch):
    monkeypatch.setattr(upload, "BLOCK_BYTES", 1000)
    steps = []
    annotation = attach(conn, image, file, "cells.ims", ORIGIN, lambda done, total: steps.append((done, total)))
    size = file.stat().st_size
    acknowledged = [done for done, _ in steps]
    assert acknowledged == sorted(acknowledged)
    assert (acknowledged[0], len(steps)) == (0, -(-size // 1000))
    assert acknowledged[-1] >= size - 1000 * (1 + upload.BLOCKS_AT_ONCE)
    assert {total for _, total in steps} == {size}
    assert annotation.file.name.val == "cells.ims"
    assert annotation.file.size.val == size
    assert annotation.file.hash.val == hashlib.sha1(file.read_bytes()).hexdigest()
    assert annotations(conn, image) == [annotation.id.val]
    wrapper = conn.getObject("FileAnnotation", annotation.id.val)
    assert b"".join(wrapper.getFileInChunks()) == file.read_bytes()
    assert wrapper.getDescription() == (
        "Imaris file made by OpenHCS\nOptions: whole image, fast\nFingerprint: 0123456789abcdef"
    )


def test_a_file_is_found_again_by_its_fingerprint(conn, image, file):
    made = attach(conn, image, file, "cells.ims", ORIGIN, silent)
    found = find_attachment(conn, image, ORIGIN.fingerprint)
    assert found.id.val == made.id.val
    assert found.file.name.val == "cells.ims"
    assert find_attachment(conn, image, "fedcba9876543210") is None


@pytest.mark.parametrize("kind", ["Well", "Plate"])
def test_files_of_wells_and_plates(kind, conn, omero_server, omero_user, file, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), "u1"))
    plate = omero_server.import_plate({"A01": [[tmp_path / "a.tif"]]}, name="P", user=omero_user.name)
    well = next(conn.getObject("Plate", plate.plate_id).listChildren())
    target = conn.getObject(kind, well.getId() if kind == "Well" else plate.plate_id)
    first = attach(conn, target, file, "cells.ims", ORIGIN, silent)
    second = attach(conn, target, file, "cells.ims", Origin(ORIGIN.options, "2" * 16), silent)
    found = [a.getId() for a in conn.getObject(kind, target.getId()).listAnnotations(NAMESPACE)]
    assert found == [second.id.val]
    assert find_attachment(conn, target, "2" * 16).id.val == second.id.val != first.id.val
    assert find_attachment(conn, target, ORIGIN.fingerprint) is None


def test_names_on_one_object_differ(conn, image, file):
    made = [attach(conn, image, file, "cells.ims", Origin(f"{n}, fast", str(n) * 16), silent) for n in (1, 2, 3)]
    assert [one.file.name.val for one in made] == ["cells.ims", "cells (2).ims", "cells (3).ims"]
    again = attach(conn, image, file, "cells.ims", Origin("2, fast", "4" * 16), silent)
    assert again.file.name.val == "cells (2).ims"


def test_of_two_uploads_at_once_the_later_stays(conn, image, file, monkeypatch):
    """From two machines, which see nothing of each other but what is in OMERO."""

    def meanwhile(done, total):
        attach(conn, image, file, "cells.ims", ORIGIN, silent)

    made = attach(conn, image, file, "cells.ims", ORIGIN, meanwhile)
    assert annotations(conn, image) == [made.id.val]


def test_a_file_that_is_gone_is_not_found(conn, image, file, omero_server):
    made = attach(conn, image, file, "cells.ims", ORIGIN, silent)
    core = omero_server.core
    core.repositories.path_of(core.store.get("OriginalFile", made.file.id.val)).unlink()
    assert find_attachment(conn, image, ORIGIN.fingerprint) is None


def test_a_newer_file_with_the_same_options_replaces_the_older(conn, image, file):
    other = attach(conn, image, file, "part.ims", Origin("Z1-2, fast", "1" * 16), silent)
    attach(conn, image, file, "cells.ims", ORIGIN, silent)
    before = original_files(conn)
    newer = attach(conn, image, file, "cells.ims", Origin(ORIGIN.options, "2" * 16), silent)
    assert sorted(annotations(conn, image)) == [other.id.val, newer.id.val]
    assert original_files(conn) == before


def test_files_of_others_are_not_replaced(make_user, connect, voxels, file):
    """Not even where they could be: in a read-write group."""
    owner, other = make_user("results", "rwrw--"), make_user("results", "rwrw--")
    image_id = connect(owner).createImageFromNumpySeq(iter(voxels(1, 8, 8)), "made").getId()
    made = []
    for user, digit in ((owner, "1"), (other, "2")):
        conn = gateway(connect(user).c)
        image = conn.getObject("Image", image_id)
        made.append(attach(conn, image, file, "cells.ims", Origin(ORIGIN.options, digit * 16), silent).id.val)
    assert sorted(annotations(conn, image)) == made
    assert find_attachment(conn, image, "1" * 16).id.val == made[0]


def test_a_group_that_is_not_the_users_default(omero_server, make_user, connect, voxels, file):
    user, core = make_user(), omero_server.core
    with core.store.lock:
        second = core.accounts.add_group(f"second of {user.name}", "rwra--")
        core.accounts.add_member(core.accounts.user(user.name), second)
    log_in = connect(user)
    log_in.setGroupForSession(second.id)
    image_id = log_in.createImageFromNumpySeq(iter(voxels(1, 8, 8)), "made").getId()
    log_in.setGroupForSession(user.group_id)
    conn = gateway(log_in.c)
    made = attach(conn, conn.getObject("Image", image_id), file, "cells.ims", ORIGIN, silent)
    assert made.details.group.id.val == made.file.details.group.id.val == second.id


def test_nothing_is_left_of_a_stopped_upload(conn, image, file, monkeypatch):
    monkeypatch.setattr(upload, "BLOCK_BYTES", 1000)
    before = original_files(conn)

    def stop(done, total):
        if done:
            raise Stopped("now")

    with pytest.raises(Stopped):
        attach(conn, image, file, "cells.ims", ORIGIN, stop)
    assert original_files(conn) == before
    assert annotations(conn, image) == []


def test_an_upload_that_arrives_changed_is_refused(conn, image, file, omero_server, monkeypatch):
    from embedded_omero.services.raw_file import RawFileStore

    write, before = RawFileStore.write, original_files(conn)
    monkeypatch.setattr(RawFileStore, "write", lambda self, call, buf, at, n: write(self, call, b"\1" + buf[1:], at, n))
    with pytest.raises(OmeroError, match="is not what was sent"):
        attach(conn, image, file, "cells.ims", ORIGIN, silent)
    assert original_files(conn) == before
    assert annotations(conn, image) == []


def test_a_server_that_takes_no_more(conn, image, file, monkeypatch):
    from embedded_omero.services.raw_file import RawFileStore

    def full(self, call, buf, at, n):
        raise omero.ResourceError(None, None, "No space left on device")

    before = original_files(conn)
    monkeypatch.setattr(RawFileStore, "write", full)
    with pytest.raises(OmeroError, match=r"OMERO did not take the file: No space left on device\. Is its disk full\?"):
        attach(conn, image, file, "cells.ims", ORIGIN, silent)
    assert original_files(conn) == before


def test_the_end_of_the_session_is_no_fault_of_the_disk(conn, image, file, monkeypatch):
    from embedded_omero.services.raw_file import RawFileStore

    def ended(self, call, buf, at, n):
        raise omero.RemovedSessionException(None, None, "No session with uuid")

    monkeypatch.setattr(RawFileStore, "write", ended)
    with pytest.raises(omero.RemovedSessionException):
        attach(conn, image, file, "cells.ims", ORIGIN, silent)


def test_uploads_that_were_killed_are_swept_when_old(conn, image, file, monkeypatch):
    attach(conn, image, file, "cells.ims", ORIGIN, silent)
    before = original_files(conn)
    monkeypatch.setattr(results, "_delete", lambda *arguments: None)

    def die(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attach(conn, image, file, "other.ims", ORIGIN, die)
    monkeypatch.undo()
    assert original_files(conn) == before + 1
    sweep_uploads(conn)
    assert original_files(conn) == before + 1
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 86400)
    sweep_uploads(conn)
    assert original_files(conn) == before
    assert len(annotations(conn, image)) == 1


def test_nobody_attaches_where_only_reading_is_allowed(make_user, connect, voxels, file):
    owner, other = make_user("results read-only", "rwr---"), make_user("results read-only", "rwr---")
    image_id = connect(owner).createImageFromNumpySeq(iter(voxels(1, 8, 8)), "made").getId()
    conn = gateway(connect(other).c)
    image, before = conn.getObject("Image", image_id), original_files(conn)
    assert not image.canAnnotate()
    with pytest.raises(OmeroError, match="OMERO does not let you attach a file to the image"):
        attach(conn, image, file, "cells.ims", ORIGIN, silent)
    assert original_files(conn) == before


def test_what_cannot_be_removed_is_logged(conn, omero_user, caplog):
    results._delete(conn, "OriginalFile", [10**9], in_group(conn, omero_user.group_id))
    (record,) = caplog.records
    assert record.message.startswith("OriginalFile [1000000000] could not be removed: ")


def test_origins_are_read_from_what_people_have_added_to():
    assert Origin.from_description(f"My notes\n{ORIGIN.description()}\nmore") == ORIGIN
    assert Origin.from_description("Fingerprint: 12") is None
