"""JobHandle: state and message of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omero.rtypes import rtime

from .. import errors
from ..permissions import ALL, permissions_object
from ..store import Record, now_ms
from .base import StatefulService

if TYPE_CHECKING:
    from ..context import Call

MESSAGE_LENGTH = 255
ENDED = ("Finished", "Error", "Cancelled")


def new_job(call: Call, entity: str, group: Record | None = None) -> Record:
    """A job of the caller in state "Submitted"."""
    now = now_ms()
    return call.add(
        entity,
        {
            "username": call.user["omeName"], "groupname": (group or call.group)["name"], "type": "User", "message": "",
            "status": call.enum("JobStatus", "Submitted"), "submitted": now, "scheduledFor": now,
        },
    )  # fmt: skip


class JobHandle(StatefulService):
    """omero.api.JobHandle."""

    def __init__(self) -> None:
        self._attached: Record | None = None

    @property
    def _job(self) -> Record:
        if self._attached is None:
            raise errors.api_usage("JobHandle not ready: Please submit() or attach() to a Job.")
        return self._attached

    def submit(self, call: Call, job) -> int:
        self._attached = new_job(call, call.store.model.of(job).name)
        return self._attached.id

    def attach(self, call: Call, jobId: int):
        job = call.store.get("Job", jobId)
        if job is None or not (call.visible(job) or job.owner is call.user or call.is_admin):
            raise errors.api_usage(f"Unknown job:{jobId}")
        self._attached = job
        return self._status(call)

    def getJob(self, call: Call):
        return call.wire(self._job)

    def jobStatus(self, call: Call):
        return self._status(call)

    def _status(self, call: Call):
        """The state, with the rights of the server itself (recorded)."""
        status = call.wire(self._job["status"])
        status.details.permissions = permissions_object(call.core.accounts.group("user").permissions, ALL)
        return status

    def jobFinished(self, call: Call):
        finished = self._job["finished"]
        return None if finished is None else rtime(finished)

    def jobMessage(self, call: Call) -> str:
        return self._job["message"] or ""

    def jobRunning(self, call: Call) -> bool:
        return self._job["status"]["value"] == "Running"

    def jobError(self, call: Call) -> bool:
        return self._job["status"]["value"] == "Error"

    def cancelJob(self, call: Call) -> None:
        self._set_status(call, "Cancelled")

    def setStatus(self, call: Call, status: str) -> str:
        return self._set_status(call, status)

    def _set_status(self, call: Call, status: str) -> str:
        """Change the state, note when the job started or ended; answers the state before."""
        old = self._job["status"]["value"]
        call.store.set(self._job, "status", call.enum("JobStatus", status))
        if status == "Running":
            call.store.set(self._job, "started", now_ms())
        elif status in ENDED:
            call.store.set(self._job, "finished", now_ms())
        return old

    def setMessage(self, call: Call, message: str) -> str:
        """Set the message, cut to the length of the column; answers the one before."""
        return set_message(call, self._job, message)

    def setStatusAndMessage(self, call: Call, status: str, message) -> str:
        set_message(call, self._job, message.val if message is not None else "")
        return self._set_status(call, status)


def set_message(call: Call, job: Record, message: str) -> str:
    """Change a job's message; answers the one before."""
    old = job["message"] or ""
    call.store.set(job, "message", message[:MESSAGE_LENGTH])
    return old
