"""Repositories: the files on the server, as clients browse them."""

from __future__ import annotations

import mimetypes
import uuid
from typing import TYPE_CHECKING

import Ice
import omero
import omero.grid
from omero.rtypes import rlong, rmap, rstring

from .. import errors
from ..repositories import SCRIPT_REPO
from ..store import Record, now_ms
from .raw_file import RawFileStore, checksum

if TYPE_CHECKING:
    from ..context import Call
    from ..core import Core

DIRECTORY = "Directory"
MANAGED = "ManagedRepository"
ALGORITHMS = ("SHA1-160", "MD5-128", "Murmur3-128", "Murmur3-32", "CRC-32", "Adler-32", "File-Size-64")


def descriptions(core: Core) -> list[Record]:
    """The three repositories: scripts, imported files, everything else."""
    store, root = core.store, core.repositories.root
    wanted = (
        (root.name, f"{root.parent}/".replace("//", "/"), str(uuid.uuid4())),
        (MANAGED, f"{root}/", core.repositories.managed_uuid),
        ("scripts", f"{root}/lib/", SCRIPT_REPO),
    )
    found = []
    for name, path, hash in wanted:
        record = store.find("OriginalFile", name=name, path=path, mimetype="Repository")
        if record is None:
            values = {"name": name, "path": path, "hash": hash, "mimetype": "Repository", "size": 0}
            record = add_common(core, "root", values)
        found.append(record)
    return found[::-1]


def add_common(core: Core, owner: str, values: dict) -> Record:
    """A row of OriginalFile which everybody may see."""
    record = core.store.add("OriginalFile", {"mtime": now_ms(), **values})
    record.owner, record.group = core.accounts.user(owner), core.accounts.group("user")
    return record


def proxies(call: Call) -> tuple[list[Record], list[Ice.ObjectPrx]]:
    """Descriptions of all repositories and, in the same order, what serves them."""
    records = descriptions(call.core)
    return records, [_proxy(call, r) for r in records]


def _proxy(call: Call, description: Record) -> Ice.ObjectPrx:
    managed = description["name"] == MANAGED
    interface = omero.grid.ManagedRepository if managed else omero.grid.Repository
    cast = omero.grid.ManagedRepositoryPrx if managed else omero.grid.RepositoryPrx
    key, client = f"repository/{description['hash']}", call.client
    if key in client.services:
        return cast.uncheckedCast(call.core.adapter.createProxy(client.services[key][0]))
    service = ManagedRepository(description) if managed else Repository(description)
    return call.core.add_service(
        client, key, interface, service, Ice.Identity(client.session.uuid + key.replace("/", "-"))
    )


class ReadOnlyFileStore(RawFileStore):
    """RawFileStore of a file which was opened for reading, whoever owns it."""

    def _writable(self, call: Call):
        self._ready()
        raise errors.security("File not writeable!")


class Repository:
    """omero.grid.Repository: the rows of one repository; files without a row do not exist for clients."""

    def __init__(self, description: Record) -> None:
        self._description = description
        self._repo: str = description["hash"]

    def root(self, call: Call):
        return call.wire(self._description)

    # -- paths

    def _parts(self, call: Call, path: str) -> list[str]:
        """The folders and the name of a path, checked."""
        if "omero.session.uuid" not in call.ctx:
            raise Ice.UnknownException("the context of the call names no session")  # recorded
        parts: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if not parts:
                    raise errors.validation("Path may not make references above root")
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        return parts

    def _find(self, call: Call, parts: list[str]) -> Record | None:
        """Row of a path, whoever may see it."""
        folder = "/".join(parts[:-1])
        rows = call.store.where("OriginalFile", repo=self._repo, name=parts[-1]) if parts else iter(())
        return next((r for r in rows if r["path"].strip("/") == folder), None)

    def _existing(self, call: Call, path: str) -> tuple[list[str], Record | None]:
        """Parts and row of a path which must exist; the top has no row."""
        parts = self._parts(call, path)
        row = self._find(call, parts)
        if parts and row is None:
            raise errors.validation(f"/{'/'.join(parts)} does not exist")
        return parts, row

    def _children(self, call: Call, parts: list[str]) -> list[Record]:
        folder = "/".join(parts)
        rows = call.store.where("OriginalFile", repo=self._repo)
        return [r for r in rows if r["path"].strip("/") == folder and call.visible(r)]

    # -- looking

    def fileExists(self, call: Call, path: str) -> bool:
        row = self._find(call, self._parts(call, path))
        if row is not None and not call.visible(row):
            raise errors.cannot_read(row.entity.java, row.id)
        return row is not None

    def mimetype(self, call: Call, path: str) -> str:
        parts, row = self._existing(call, path)
        if row is None or row["mimetype"] == DIRECTORY:
            return DIRECTORY
        return mimetypes.guess_type(parts[-1])[0] or "application/octet-stream"

    def listFiles(self, call: Call, path: str) -> list:
        parts, _ = self._existing(call, path)
        return [call.wire(r) for r in self._children(call, parts)]

    def treeList(self, call: Call, path: str):
        """Everything below a path: maps by name, with id, mimetype, size of files and ``files`` of folders."""
        parts, row = self._existing(call, path)
        if row is None:
            return rmap({r["name"]: self._tree(call, [r["name"]], r) for r in self._children(call, [])})
        return rmap({row["name"]: self._tree(call, parts, row)})

    def _tree(self, call: Call, parts: list[str], row: Record):
        if row["mimetype"] != DIRECTORY:
            return rmap(
                {"id": rlong(row.id), "mimetype": rstring(row["mimetype"] or ""), "size": rlong(row["size"] or 0)}
            )
        files = {r["name"]: self._tree(call, [*parts, r["name"]], r) for r in self._children(call, parts)}
        return rmap({"id": rlong(row.id), "mimetype": rstring(DIRECTORY), "files": rmap(files)})

    # -- files

    def file(self, call: Call, path: str, mode: str):
        _, row = self._existing(call, path)
        if row is None or row["mimetype"] == DIRECTORY:
            raise errors.validation(f"{path} is not a file")
        if not call.visible(row):
            raise errors.cannot_read(row.entity.java, row.id)
        if mode not in ("r", "rw"):
            raise errors.validation(f"Unknown mode {mode!r}; modes are r and rw")
        if mode == "rw" and not call.flags(row).edit:
            raise errors.security("requiresWrite is true but cannot modify")
        return self._open(call, row, RawFileStore() if mode == "rw" else ReadOnlyFileStore())

    def fileById(self, call: Call, id: int):
        row = call.store.get("OriginalFile", id)
        if row is None or not call.visible(row):
            raise errors.security(f"FileNotAccessible: {id}")
        return self._open(call, row, ReadOnlyFileStore())

    @staticmethod
    def _open(call: Call, row: Record, store: RawFileStore):
        store.setFileId(call, row.id)
        return call.core.new_object(call, omero.api.RawFileStore, store, "omero.api.RawFileStore")

    def makeDir(self, call: Call, path: str, parents: bool) -> None:
        """Make a folder; below the top, only in the caller's own tree."""
        parts = self._parts(call, path)
        own = f"{call.user['omeName']}_{call.user.id}"
        if not call.is_admin and (len(parts) < 2 or parts[0] != own):
            raise errors.validation(
                f'cannot create directory "{"/".join(parts)}" with template path\'s root-owned "{own}"'
            )
        for depth in range(1, len(parts) + 1):
            row = self._find(call, parts[:depth])
            if row is None and depth < len(parts) and not parents:
                raise errors.validation(f"/{'/'.join(parts[:depth])} does not exist")
            if row is not None and row["mimetype"] != DIRECTORY:
                raise errors.validation(f"/{'/'.join(parts[:depth])} is a file")
        make_directories(call, self._repo, parts)

    def list(self, call: Call, path: str) -> list[str]:
        parts, _ = self._existing(call, path)
        return [r["path"] + r["name"] for r in self._children(call, parts)]


class ManagedRepository(Repository):
    """omero.grid.ManagedRepository: imported files.

    Imports do not go through here but through `embedded_omero.imports`.
    """

    def listChecksumAlgorithms(self, call: Call) -> list:
        return [call.wire(call.enum("ChecksumAlgorithm", name)) for name in ALGORITHMS]

    def suggestChecksumAlgorithm(self, call: Call, supported: list):
        """The first algorithm of the server which the client knows; None if there is none."""
        known = {a.value.val for a in supported}
        return next((call.wire(call.enum("ChecksumAlgorithm", n)) for n in ALGORITHMS if n in known), None)

    def verifyChecksums(self, call: Call, ids: list[int]) -> list[int]:
        """Files among ``ids`` whose content no longer has the hash which was noted."""
        wrong = []
        for id in ids:
            row = call.read("OriginalFile", id)
            path, hasher = call.core.repositories.path_of(row), row["hasher"]
            if hasher is None or row["hash"] is None:
                continue
            if not path.is_file() or checksum(path, hasher["value"]) != row["hash"]:
                wrong.append(id)
        return wrong


def make_directories(call: Call, repo: str, parts: list[str]) -> None:
    """Folders on disk and their rows: the topmost belongs to root, those below to the caller, all may be seen."""
    core = call.core
    base = core.repositories.managed if repo == core.repositories.managed_uuid else core.repositories.scripts
    base.joinpath(*parts).mkdir(parents=True, exist_ok=True)
    for depth, name in enumerate(parts):
        path = "/".join(parts[:depth]) + "/"
        if core.store.find("OriginalFile", repo=repo, path=path, name=name) is None:
            owner = "root" if depth == 0 else call.user["omeName"]
            record = add_common(core, owner, {"repo": repo, "path": path, "name": name, "mimetype": DIRECTORY})
            record.created = record.updated = call.event
