"""The managed repository as clients see it."""

from __future__ import annotations

import Ice
import numpy as np
import omero
import omero.grid
import pytest
from omero.rtypes import unwrap

from tests.embedded import images


class World:
    """A file of one user, and how others see it."""

    def __init__(self, server, make_user, connect, level, tmp_path):
        self.server = server
        group = f"repository {level}"
        self.owner, self.member = make_user(group, level), make_user(group, level)
        self.path, _ = images.three(tmp_path)
        (result,) = server.import_files(self.path, user=self.owner.name)
        self.connect = connect
        image = connect(self.owner).getObject("Image", result.image_ids[0])
        (self.stored,) = image.getImportedImageFilePaths()["server_paths"]
        self.file_id = next(image.getImportedImageFiles()).id
        self.folder = self.stored.rpartition("/")[0]

    def repository(self, user):
        return self.connect(user).c.getManagedRepository()


@pytest.fixture(params=["rw----", "rwr---", "rwra--", "rwrw--"])
def any_world(request, omero_server, make_user, connect, tmp_path):
    return World(omero_server, make_user, connect, request.param, tmp_path), request.param


@pytest.fixture
def world(omero_server, make_user, connect, tmp_path):
    return World(omero_server, make_user, connect, "rwra--", tmp_path)


def test_descriptions(omero_server, omero_conn):
    found = omero_conn.c.sf.sharedResources().repositories()
    root = omero_server.core.data_dir
    said = [(d.name.val, d.path.val, d.mimetype.val, d.size.val, d.repo) for d in found.descriptions]
    assert said == [
        ("scripts", f"{root}/lib/", "Repository", 0, None),
        ("ManagedRepository", f"{root}/", "Repository", 0, None),
        (root.name, f"{root.parent}/", "Repository", 0, None),
    ]
    assert found.descriptions[0].hash.val == "ScriptRepo"
    assert [p.ice_id() for p in found.proxies] == [
        "::omero::grid::Repository", "::omero::grid::ManagedRepository", "::omero::grid::Repository"]  # fmt: skip
    again = omero_conn.c.sf.sharedResources().repositories()
    assert [d.id.val for d in again.descriptions] == [d.id.val for d in found.descriptions]
    proxy, description = omero_conn.c.getManagedRepository(description=True)
    assert proxy.root().id.val == description.id.val == found.descriptions[1].id.val
    assert omero_conn.c.sf.sharedResources().getScriptRepository().root().hash.val == "ScriptRepo"


def test_what_others_see(any_world):
    world, level = any_world
    for user in (world.owner, world.member):
        hidden = user is world.member and level == "rw----"
        repository = world.repository(user)
        assert repository.fileExists("/" + world.folder)
        assert repository.fileExists(world.folder.partition("/")[0])
        assert not repository.fileExists("/nope")
        assert not repository.fileExists("/")
        assert "/" + world.stored.partition("/")[0] in repository.list("/")
        assert repository.mimetype(world.stored) == "image/tiff"
        tree = unwrap(repository.treeList(world.folder))
        (name,) = tree
        assert name == world.folder.rpartition("/")[2]
        assert tree[name]["mimetype"] == "Directory"
        if hidden:
            for path in (world.stored, "/" + world.stored):
                with pytest.raises(omero.SecurityViolation, match=f"Cannot read .*OriginalFile:Id_{world.file_id}"):
                    repository.fileExists(path)
            assert repository.list(world.folder) == []
            assert repository.listFiles(world.folder) == []
            assert tree[name]["files"] == {}
            with pytest.raises(omero.SecurityViolation, match="Cannot read"):
                repository.file(world.stored, "r")
            with pytest.raises(omero.SecurityViolation, match=f"FileNotAccessible: {world.file_id}"):
                repository.fileById(world.file_id)
            continue
        assert repository.fileExists("/" + world.stored)
        assert repository.fileExists(world.stored)
        assert repository.list(world.folder) == [world.stored]
        (row,) = repository.listFiles(world.folder)
        assert (row.id.val, row.name.val, row.size.val) == (world.file_id, "three.ome.tiff", world.path.stat().st_size)
        assert tree[name]["files"] == {
            "three.ome.tiff": {"id": world.file_id, "mimetype": "", "size": world.path.stat().st_size}
        }


def test_reading_and_writing(any_world):
    world, level = any_world
    content = world.path.read_bytes()
    for user in (world.owner, world.member):
        if user is world.member and level == "rw----":
            continue
        repository = world.repository(user)
        for store in (repository.file(world.stored, "r"), repository.fileById(world.file_id)):
            assert store.read(0, 16) == content[:16]
            assert store.size() == len(content)
            for change in (lambda s=store: s.write(b"x", 0, 1), lambda s=store: s.truncate(1)):
                with pytest.raises(omero.SecurityViolation, match="File not writeable!"):
                    change()
            store.close()
        if user is world.member and level != "rwrw--":
            with pytest.raises(omero.SecurityViolation, match="requiresWrite is true but cannot modify"):
                repository.file(world.stored, "rw")
        else:
            store = repository.file(world.stored, "rw")
            store.write(content[:4], 0, 4)
            store.close()
    assert (world.server.core.repositories.managed / world.stored).read_bytes() == content


@pytest.mark.parametrize("path", ["/../../etc/passwd", "../x", "/a/../../x", "a/b/../../../x"])
def test_paths_stay_below_the_root(world, path):
    repository = world.repository(world.owner)
    for call in (
        repository.fileExists, repository.list, repository.listFiles, repository.treeList, repository.mimetype,
        lambda p: repository.file(p, "r"), lambda p: repository.makeDir(p, True),
    ):  # fmt: skip
        with pytest.raises(omero.ValidationException, match="Path may not make references above root"):
            call(path)


def test_paths_within_the_root_may_go_up(world):
    assert world.repository(world.owner).fileExists(
        f"{world.folder}/../{world.folder.rpartition('/')[2]}/./three.ome.tiff"
    )


def test_missing_paths(world):
    repository = world.repository(world.owner)
    for call in (repository.list, repository.listFiles, repository.treeList, repository.mimetype):
        with pytest.raises(omero.ValidationException, match="/nope/nope does not exist"):
            call("nope/nope")
    with pytest.raises(omero.ValidationException, match="is not a file"):
        repository.file(world.folder, "r")
    with pytest.raises(omero.ValidationException, match="Unknown mode"):
        repository.file(world.stored, "w")
    with pytest.raises(omero.SecurityViolation, match="FileNotAccessible"):
        repository.fileById(99999999)


def test_files_without_a_row_do_not_exist(world):
    (world.server.core.repositories.managed / world.folder / "secret.txt").write_text("x")
    repository = world.repository(world.owner)
    assert not repository.fileExists(f"{world.folder}/secret.txt")
    assert repository.list(world.folder) == [world.stored]


def test_folders(world):
    own = f"{world.owner.name}_{world.owner.id}"
    repository = world.repository(world.owner)
    repository.makeDir(f"{own}/new", False)
    repository.makeDir(f"{own}/a/b", True)
    assert repository.fileExists(f"/{own}/a/b")
    assert (world.server.core.repositories.managed / own / "a" / "b").is_dir()
    assert f"{own}/new" in repository.list(own)
    with pytest.raises(omero.ValidationException, match="does not exist"):
        repository.makeDir(f"{own}/c/d", False)
    with pytest.raises(omero.ValidationException, match="is a file"):
        repository.makeDir(f"{world.stored}/x", True)
    other = f"{world.member.name}_{world.member.id}"
    for path in ("top", f"{own}/x"):
        words = f'cannot create directory "{path}" with template path\'s root-owned "{other}"'
        with pytest.raises(omero.ValidationException) as caught:
            world.repository(world.member).makeDir("/" + path, True)
        assert words in caught.value.message
    world.connect().c.getManagedRepository().makeDir("made by root", True)
    assert repository.fileExists("made by root")


def test_context_of_ones_own_must_name_the_session(world):
    repository = world.repository(world.owner)
    with pytest.raises(Ice.UnknownException):
        repository.list("/", {"omero.group": str(world.owner.group_id)})
    everywhere = {**repository.ice_getCommunicator().getImplicitContext().getContext(), "omero.group": "-1"}
    assert repository.fileExists(world.stored, everywhere)


def test_checksums(world):
    repository = world.repository(world.owner)
    names = [a.value.val for a in repository.listChecksumAlgorithms()]
    assert names == ["SHA1-160", "MD5-128", "Murmur3-128", "Murmur3-32", "CRC-32", "Adler-32", "File-Size-64"]

    def algorithm(name):
        made = omero.model.ChecksumAlgorithmI()
        made.value = omero.rtypes.rstring(name)
        return made

    assert repository.suggestChecksumAlgorithm([algorithm("CRC-32"), algorithm("MD5-128")]).value.val == "MD5-128"
    assert repository.suggestChecksumAlgorithm([algorithm("ROT13")]) is None
    assert repository.verifyChecksums([world.file_id]) == []
    stored = world.server.core.repositories.managed / world.stored
    data = np.frombuffer(stored.read_bytes(), "u1").copy()
    data[-1] ^= 1
    stored.write_bytes(data.tobytes())
    assert repository.verifyChecksums([world.file_id]) == [world.file_id]


def test_what_is_left_out_says_so(world):
    repository = world.repository(world.owner)
    with pytest.raises(omero.InternalException, match="not implemented: ManagedRepository.importPaths"):
        repository.importPaths(["/a"])
