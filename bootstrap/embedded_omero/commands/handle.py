"""Handles: how clients follow a command, ask for its outcome and let it go."""

from __future__ import annotations

import Ice
import omero
import omero.cmd

from ..context import Call
from ..store import now_ms
from .base import Refused
from .run import finished, run


class Handle:
    """omero.cmd.Handle of one request; the request is done when clients get the handle.

    A callback is therefore never told anything: clients ask for the response first, as they have to with any server,
    since a command may end before a callback is there.
    """

    def __init__(self, request: omero.cmd.Request) -> None:
        self._request = request
        self._status = finished(request)
        self._response: omero.cmd.Response | None = None

    def run(self, call: Call) -> None:
        """Do what the request asks for, or note why not."""
        self._status.startTime = now_ms()
        try:
            self._response = run(call, self._request)
        except Refused as exc:
            self._response = exc.response
            self._status.currentStep = exc.step
            self._status.flags = [omero.cmd.State.FAILURE, omero.cmd.State.CANCELLED]
        self._status.stopTime = now_ms()

    def getRequest(self, call: Call) -> omero.cmd.Request:
        return self._request

    def getResponse(self, call: Call) -> omero.cmd.Response:
        return self._response

    def getStatus(self, call: Call) -> omero.cmd.Status:
        return self._status

    def addCallback(self, call: Call, callback: omero.cmd.CmdCallbackPrx) -> None:
        pass

    def removeCallback(self, call: Call, callback: omero.cmd.CmdCallbackPrx) -> None:
        pass

    def cancel(self, call: Call) -> bool:
        """Whether the command could still be stopped: it never can."""
        return False

    def close(self, call: Call) -> None:
        call.core.withdraw(call.session, self)


def start(call: Call, request: omero.cmd.Request | None) -> Ice.ObjectPrx | None:
    """Run a request and publish its handle; no request, no handle."""
    if request is None:
        return None
    handle = Handle(request)
    proxy = call.core.new_shared_object(call, omero.cmd.Handle, handle, "IHandle", call.session.uuid)
    handle.run(call)
    return proxy
