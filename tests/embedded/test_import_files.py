"""Filesets, files and folders of imports, and where images go."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import omero
import pytest

from embedded_omero.imports import ImportFailed
from tests.embedded import images


def test_fileset(one, omero_conn, omero_server, omero_user, tmp_path):
    path, _ = images.five_d(tmp_path)
    image = one(path)
    paths = image.getImportedImageFilePaths()
    prefix = rf"{omero_user.name}_{omero_user.id}/\d{{4}}-\d\d/\d\d/\d\d-\d\d-\d\d\.\d{{3}}/"
    assert re.fullmatch(prefix + re.escape(path.name), paths["server_paths"][0])
    assert paths["client_paths"] == [str(path).lstrip("/")]
    _, root = omero_conn.c.getManagedRepository(description=True)
    stored = Path(root.path.val, root.name.val, paths["server_paths"][0])
    assert stored.read_bytes() == path.read_bytes()
    fileset = images.fetch(
        omero_conn,
        "select f from Fileset f join fetch f.usedFiles e join fetch e.originalFile o join fetch o.hasher "
        "where f.id = :id",
        image.getFileset().id,
    )
    assert re.fullmatch(prefix, fileset.templatePrefix.val)
    file = fileset.getFilesetEntry(0).originalFile
    assert (file.name.val, file.path.val, file.size.val) == (path.name, fileset.templatePrefix.val, path.stat().st_size)
    assert file.hash.val == images.sha1(np.frombuffer(path.read_bytes(), "u1"))
    assert file.hasher.value.val == "SHA1-160"
    assert (file.mimetype, file.atime) == (None, None)
    assert None not in (file.ctime, file.mtime)
    assert file.repo.val == root.hash.val == omero_server.core.repositories.managed_uuid
    info = {"fileset": True, "count": 1, "size": path.stat().st_size, "annotations": []}
    assert omero_conn.getFilesetFilesInfo([image.id]) == info
    assert image.getInplaceImport() is None
    assert [f.getName() for f in image.getImportedImageFiles()] == [path.name]


def test_jobs_and_log(one, omero_conn, tmp_path):
    image = one(images.five_d(tmp_path)[0])
    fileset = images.fetch(
        omero_conn,
        "select f from Fileset f join fetch f.jobLinks l join fetch l.child j join fetch j.status where f.id = :id",
        image.getFileset().id,
    )
    jobs = [link.child for link in fileset.copyJobLinks()]
    assert [(type(j).__name__, j.status.value.val, j.message.val, j.finished is not None) for j in jobs] == [
        ("UploadJobI", "Finished", "Finished", True),
        ("MetadataImportJobI", "Submitted", "", False),
        ("PixelDataJobI", "Submitted", "", False),
        ("ThumbnailGenerationJobI", "Submitted", "", False),
        ("IndexingJobI", "Submitted", "", False),
    ]
    assert "bioformats.reader" in [v.name for v in jobs[0].getVersionInfo()]
    query = (
        "select o.name, o.path, o.mimetype, o.size, o.hash from JobOriginalFileLink l join l.child o "
        "where l.parent.id = :id"
    )
    ((name, path, mimetype, size, hash),) = images.rows(omero_conn, query, id=jobs[0].id.val)
    assert re.fullmatch(r"\d\d-\d\d-\d\d\.\d{3}\.log", name)
    assert fileset.templatePrefix.val.startswith(path)
    assert (mimetype, size, hash) == ("application/omero-log-file", 0, None)


def test_folders_have_rows(one, omero_conn, omero_user, tmp_path):
    one(images.five_d(tmp_path)[0])
    top = f"{omero_user.name}_{omero_user.id}"
    query = (
        "select o.path, o.name, u.id, g.name from OriginalFile o join o.details.owner u join o.details.group g "
        "where o.mimetype = 'Directory' and (o.name = :top or o.path like :below) order by o.id"
    )
    found = images.rows(omero_conn, query, top=top, below=f"{top}/%")
    assert found[0] == ["/", top, 0, "user"]
    assert [r[2:] for r in found[1:]] == [[omero_user.id, "user"]] * 3
    assert [r[0].count("/") for r in found] == [1, 1, 2, 3]


def test_linked_files(one, omero_conn, omero_server, tmp_path):
    path, arrays = images.three(tmp_path)
    image = one(path, transfer="ln_s")
    stored = omero_server.core.repositories.managed / image.getImportedImageFilePaths()["server_paths"][0]
    assert stored.is_symlink()
    assert stored.resolve() == path.resolve()
    assert image.getInplaceImport() == "ome.formats.importer.transfers.SymlinkFileTransfer"
    (note,) = omero_conn.getFilesetFilesInfo([image.id])["annotations"]
    assert note["ns"] == "openmicroscopy.org/omero/import/fileTransfer"
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), arrays[0][0])


def test_lost_file_is_a_resource_error(one, omero_server, omero_conn, tmp_path):
    image = one(images.five_d(tmp_path)[0])
    stored = omero_server.core.repositories.managed / image.getImportedImageFilePaths()["server_paths"][0]
    stored.unlink()
    with pytest.raises(omero.ResourceError, match="Error instantiating pixel buffer"):
        image.getPrimaryPixels().getPlane(0, 0, 0)
    stored.write_bytes(b"II*\0 and then nothing")
    with pytest.raises(omero.ResourceError, match="Error instantiating pixel buffer"):
        image.getPrimaryPixels().getPlane(0, 0, 0)


# -- targets


def test_dataset_and_project_are_made_or_found(importer, omero_conn, tmp_path):
    path, _ = images.three(tmp_path)
    first = importer(path, dataset="new ds", project="new project")[0]
    again = importer(path, dataset="new ds", project="new project")[0]
    (dataset,) = omero_conn.getObjects("Dataset", attributes={"name": "new ds"})
    assert {i.id for i in dataset.listChildren()} == set(first.image_ids + again.image_ids)
    (project,) = dataset.listParents()
    assert project.getName() == "new project"
    third = importer(path, dataset=dataset.id)[0]
    assert set(third.image_ids) <= {i.id for i in dataset.listChildren()}


def test_import_into_another_group(omero_server, make_user, connect, tmp_path):
    user = make_user()
    other = make_user()
    with omero_server.core.store.lock:
        accounts = omero_server.core.accounts
        accounts.add_member(accounts.user(user.name), accounts.group(other.group))
    path, _ = images.five_d(tmp_path)
    (result,) = omero_server.import_files(path, user=user.name, group=other.group)
    conn = connect(user)
    conn.SERVICE_OPTS.setOmeroGroup("-1")
    image = conn.getObject("Image", result.image_ids[0])
    assert image.getDetails().getGroup().name == other.group
    assert connect(other).getObject("Image", result.image_ids[0]).getOwner().omeName == user.name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "nobody here"}, "no user"),
        ({"group": "no such group"}, "no group"),
        ({"group": "system"}, "cannot import into system"),
        ({"dataset": 99999999}, "Cannot use Dataset:99999999"),
        ({"project": "p"}, "needs a dataset"),
        ({"screen": "s"}, "is no plate"),
        ({"transfer": "mv"}, "Unknown transfer"),
    ],
)
def test_wrong_targets(omero_server, omero_user, tmp_path, options, words):
    path, _ = images.three(tmp_path)
    before = images.everything(omero_server)
    with pytest.raises(ImportFailed, match=words):
        omero_server.import_files(path, **{"user": omero_user.name, **options})
    assert images.everything(omero_server) == before
