"""IScript: official and user scripts, their parameters, and running them."""

from __future__ import annotations

import hashlib
import logging
import zlib
from typing import TYPE_CHECKING, Any

import Ice
import omero

from .. import errors
from ..permissions import ALL, permissions_object
from ..repositories import SCRIPT_REPO
from ..scripts.process import ScriptProcess
from ..store import Record, now_ms
from .job import new_job

if TYPE_CHECKING:
    from ..context import Call

log = logging.getLogger(__name__)
MIMETYPE = "text/x-python"
RUN_SECONDS, PARSE_SECONDS = 5, 10
TIMEOUT_MS = 3_600_000


class Scripts:
    """omero.api.IScript."""

    exclusive = False  # waits for processors, which call back

    # -- looking up

    def getScripts(self, call: Call) -> list:
        return self.getScriptsByMimetype(call, MIMETYPE)

    def getScriptsByMimetype(self, call: Call, mimetype: str) -> list:
        with call.store.lock:
            files = [f for f in self._official(call) if f["mimetype"] == mimetype]
            # Recorded: in no order which means anything, so that nobody comes to rely on one.
            found = [call.wire(f) for f in sorted(files, key=lambda f: zlib.crc32(f"{f['path']}{f['name']}".encode()))]
        for file in found:  # recorded: as the server itself sees them
            file.details.permissions = permissions_object(call.core.accounts.group("system").permissions, ALL)
        return found

    def getUserScripts(self, call: Call, acceptsList) -> list:
        with call.store.lock:
            files = [f for f in call.store.where("OriginalFile", mimetype=MIMETYPE) if f["repo"] is None]
            return [call.wire(f) for f in files if self._accepted(call, f, acceptsList)]

    @staticmethod
    def _accepted(call: Call, file: Record, accepts) -> bool:
        """Whether a user's script belongs to one of the users or groups; to the caller if none is named."""
        if not accepts:
            return file.owner is call.user
        return any(
            (isinstance(a, omero.model.Experimenter) and file.owner is not None and a.id.val == file.owner.id)
            or (isinstance(a, omero.model.ExperimenterGroup) and file.group is not None and a.id.val == file.group.id)
            for a in accepts
        )

    @staticmethod
    def _official(call: Call) -> list[Record]:
        return list(call.store.where("OriginalFile", repo=SCRIPT_REPO))

    def getScriptID(self, call: Call, path: str) -> int:
        with call.store.lock:
            found = self._by_path(call, path)
            return -1 if found is None else found.id

    def _by_path(self, call: Call, path: str) -> Record | None:
        folder, name = _split(path)
        return call.store.find("OriginalFile", repo=SCRIPT_REPO, path=folder, name=name)

    def getScriptText(self, call: Call, scriptID: int) -> str:
        with call.store.lock:
            file = call.store.get("OriginalFile", scriptID)
            return "" if file is None else self._text(call, file)

    def _text(self, call: Call, file: Record) -> str:
        if file["repo"] != SCRIPT_REPO and file.owner is not call.user and not call.is_admin:
            raise errors.cannot_read(file.entity.java, file.id)
        path = call.core.repositories.path_of(file)
        try:
            return path.read_text(encoding="utf-8")
        except OSError as exc:
            raise errors.resource(f"Cannot read the text of script {file.id}: {exc.strerror}") from None

    def getScriptWithDetails(self, call: Call, scriptID: int) -> dict[str, Any]:
        with call.store.lock:
            file = call.store.get("OriginalFile", scriptID)
            if file is None:
                return {}
            return {self._text(call, file): omero.rtypes.robject(call.wire(file))}

    # -- changing

    def uploadOfficialScript(self, call: Call, path: str, scriptText: str) -> int:
        """Add a script for everybody; one which cannot be parsed is not kept."""
        if "WriteScriptRepo" not in call.privileges:
            raise errors.security("No permission to upload script")
        with call.store.lock:
            folder, name = _split(path)
            if self._by_path(call, path) is not None:
                raise errors.api_usage(
                    f"Path already exists: {folder}{name}\nUse editScript to modify existing official scripts."
                )
            mimetype = MIMETYPE if name.endswith(".py") else "text/plain"
            values = {"name": name, "path": folder, "mimetype": mimetype, "repo": SCRIPT_REPO}
            file = call.store.add("OriginalFile", values)
            file.owner = call.store.get("Experimenter", 0)
            file.group = call.core.accounts.group("user")
            file.created = file.updated = call.event
            self._write(call, file, scriptText)
        if mimetype == MIMETYPE:
            try:
                self._check(call, file)
            except BaseException:
                with call.store.lock:
                    self._remove(call, file)
                raise
        return file.id

    def uploadScript(self, call: Call, path: str, scriptText: str) -> int:
        with call.store.lock:
            folder, slash, name = path.rpartition("/")
            file = call.add("OriginalFile", {"name": name, "path": folder + slash, "mimetype": MIMETYPE})
            self._write(call, file, scriptText)
            return file.id

    def editScript(self, call: Call, fileObject, scriptText: str) -> None:
        """Replace the text; the id stays."""
        with call.store.lock:
            file = self._file(call, fileObject.id.val)
            if file["repo"] == SCRIPT_REPO and "WriteScriptRepo" not in call.privileges or (
                file["repo"] != SCRIPT_REPO and not call.flags(file).edit
            ):  # fmt: skip
                raise errors.security(f"Updating {file.entity.java}:Id_{file.id} not allowed.")
            self._write(call, file, scriptText)
            call.store.touch(file, call.event)
        if file["repo"] == SCRIPT_REPO:
            self._check(call, file)

    def deleteScript(self, call: Call, scriptID: int) -> None:
        with call.store.lock:
            file = self._file(call, scriptID)
            allowed = "DeleteScriptRepo" in call.privileges if file["repo"] == SCRIPT_REPO else call.flags(file).delete
            if not allowed:
                raise errors.security(f"Deleting {file.entity.java}:Id_{file.id} not allowed.")
            self._remove(call, file)

    @staticmethod
    def _file(call: Call, id: int) -> Record:
        file = call.store.get("OriginalFile", id)
        if file is None:
            raise errors.no_row(call.store.model["OriginalFile"].java, id)
        return file

    def _write(self, call: Call, file: Record, text: str) -> None:
        path = call.core.repositories.path_of(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = text.encode("utf-8")
        path.write_bytes(data)
        call.store.set(file, "size", len(data))
        call.store.set(file, "hash", hashlib.sha1(data, usedforsecurity=False).hexdigest())
        call.store.set(file, "hasher", call.enum("ChecksumAlgorithm", "SHA1-160"))

    @staticmethod
    def _remove(call: Call, file: Record) -> None:
        call.core.repositories.path_of(file).unlink(missing_ok=True)
        for link in list(call.store.where("JobOriginalFileLink", child=file)):
            call.store.remove(link)
        call.store.remove(file)

    # -- parameters

    def getParams(self, call: Call, scriptID: int):
        with call.store.lock:
            file = call.store.get("OriginalFile", scriptID)
        return None if file is None else self._params(call, file)[0]

    def _params(self, call: Call, file: Record) -> tuple[Any, Record | None]:
        """Parameters, from the cache or by a parse job; with the job if one ran."""
        cache = call.core.processors.params
        key = (file.id, file["hash"])
        if key in cache:
            return cache[key], None
        job = self._job(call, "ParseJob", file)
        processor = call.core.processors.acquire(call, job, PARSE_SECONDS)
        with call.store.lock:
            session = call.core.sessions.create(
                call.user, call.group, agent="OMERO.parseJob", idle_ms=0, live_ms=TIMEOUT_MS
            )
            sent = call.own().wire(job)
        try:
            params = processor.parseJob(session.uuid, sent)
        except Ice.UnknownException as exc:
            log.warning("parsing script %s failed: %s", file.id, exc.unknown)
            params = None
        finally:
            with call.store.lock:
                call.core.sessions.close(session)
        if params is not None:
            cache[key] = params
        return params, job

    def _job(self, call: Call, entity: str, file: Record) -> Record:
        with call.store.lock:
            job = new_job(call, entity)
            call.add("JobOriginalFileLink", {"parent": job, "child": file})
            return job

    def _check(self, call: Call, file: Record) -> None:
        """Raise ValidationException with the output of the parse job unless the script has parameters."""
        params, job = self._params(call, file)
        if params is not None:
            return
        lines = [f"Can't find params for {file.id}!"]
        for name in ("stdout", "stderr"):
            out = self._output(call, job, name)
            if out is None:
                lines.append(f"No {name}.")
            else:
                rule = "-" * 33
                lines += [f"{name} is in file {out.id}:", rule, self._text(call, out), rule]
        raise errors.validation("\n".join(lines) + "\n")

    @staticmethod
    def _output(call: Call, job: Record, name: str) -> Record | None:
        with call.store.lock:
            links = call.store.where("JobOriginalFileLink", parent=job)
            return next((link["child"] for link in links if link["child"]["name"] == name), None)

    # -- running

    def runScript(self, call: Call, scriptID: int, inputs: dict[str, Any], waitSecs):
        """Start a script as the caller, in the group of the call."""
        if call.ctx.get(omero.constants.CLIENTUUID) != call.client.uuid:
            raise errors.internal(
                "Cannot create session id for servant:\nno omero.client.uuid in the context of the call"
            )
        with call.store.lock:
            file = self._file(call, scriptID)
        job = self._job(call, "ScriptJob", file)
        seconds = waitSecs.val if waitSecs is not None else RUN_SECONDS
        processor = call.core.processors.acquire(call, job, seconds)
        params = self._params(call, file)[0]
        if params is None:
            raise errors.api_usage(f"Script {scriptID} has no parameters: it cannot be parsed.")
        seconds_to_live = call.core.knobs.script_seconds
        live = int(seconds_to_live * 1000) or int(call.core.config.get("omero.scripts.timeout", TIMEOUT_MS))
        with call.store.lock:
            session = call.core.sessions.create(call.user, call.group, agent="OMERO.scripts", idle_ms=0, live_ms=live)
            session.inputs.update(inputs or {})
            call.store.set(job, "started", now_ms())
            sent = call.own().wire(job)
        try:
            launch = {
                "omero.launcher": call.core.config.get("omero.launcher.python", ""),
                "omero.process": call.core.config.get("omero.process.python", ""),
            }
            process = processor.processJob(session.uuid, params, sent, launch)
        except BaseException as exc:
            with call.store.lock:
                call.core.sessions.close(session)
                call.store.set(job, "status", call.enum("JobStatus", "Error"))
                call.store.set(job, "finished", now_ms())
            if isinstance(exc, Ice.UnknownException):
                raise errors.internal("Internal exception") from exc
            raise
        reachable = omero.grid.ProcessPrx.uncheckedCast(call.core.router.reachable(process))
        running = ScriptProcess(call.core, call.session, job, session, reachable)
        call.core.processors.watch(running)
        with call.store.lock:
            return call.core.new_shared_object(call, omero.grid.ScriptProcess, running, "", "ProcessCallback")

    def canRunScript(self, call: Call, scriptID: int) -> bool:
        with call.store.lock:
            file = self._file(call, scriptID)
        job = self._job(call, "ScriptJob", file)
        try:
            call.core.processors.acquire(call, job, RUN_SECONDS)
        except omero.NoProcessorAvailable:
            return False
        return True

    def validateScript(self, call: Call, j, acceptsList):
        """For processors: the script of a job, if it is one they shall take."""
        with call.store.lock:
            job = call.store.get("Job", j.id.val)
            links = list(call.store.where("JobOriginalFileLink", parent=job)) if job is not None else []
            file = links[0]["child"] if links else None
            if file is None or file["mimetype"] != MIMETYPE:
                return None
            official = file["repo"] == SCRIPT_REPO
            if official != (not acceptsList) or (not official and not self._accepted(call, file, acceptsList)):
                return None
            return call.wire(file)


def _split(path: str) -> tuple[str, str]:
    """("/folder/", "Name.py") of the path of an official script, with or without leading slash."""
    folder, _, name = ("/" + path.lstrip("/")).rpartition("/")
    return folder + "/", name
