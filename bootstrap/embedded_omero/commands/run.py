"""Which request is done by what, and the requests which consist of others."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable

import omero
import omero.cmd

from .. import dispatch
from ..context import Call
from .base import Refused, refused
from .chgrp import chgrp
from .delete import delete
from .duplicate import duplicate
from .graph import is_named
from .original_metadata import original_metadata
from .sessions import current_sessions, update_timeout

log = logging.getLogger(__name__)


def run(call: Call, request: omero.cmd.Request) -> omero.cmd.Response:
    """Do what a request asks for.

    Raises
    ------
    Refused
        If it cannot be done; nothing has changed then.
    """
    command = COMMANDS.get(type(request))
    name = request.ice_staticId()
    try:
        if command is None:
            dispatch.missing[name] += 1
            log.warning("not implemented: %s", name)
            raise refused("not-implemented", f"not implemented: {name}")
        return command(call, request)
    except Refused as exc:
        exc.response.category = exc.response.category or name
        raise
    except omero.ServerError as exc:
        error = refused("graph-fail", exc.message or "")
        error.response.category = name
        raise error from exc


def steps(request: omero.cmd.Request) -> int:
    """Number of steps which the status of a request counts."""
    if isinstance(request, omero.cmd.DoAll):
        return sum(map(steps, request.requests or ()))
    if isinstance(request, omero.cmd.SkipHead):
        return 1 + (steps(request.request) if request.request else 0)
    if isinstance(request, omero.cmd.Duplicate):
        return 3 if request.dryRun else 14
    if isinstance(request, omero.cmd.GraphModify2):
        return 4 if request.dryRun else 6
    return 1


def do_all(call: Call, request: omero.cmd.DoAll) -> omero.cmd.DoAllRsp:
    """Run several requests, one after another.

    Every one is tried out before the first is carried out, so that one which is refused leaves things as they are.
    """
    requests = request.requests or []
    pairs = [
        (one, Call(call.core, call.session, call.client, {**call.ctx, **(context or {})}))
        for one, context in itertools.zip_longest(requests, (request.contexts or [])[: len(requests)])
    ]
    for one, its_call in pairs:
        if isinstance(one, omero.cmd.GraphModify2):
            run(its_call, rehearsal(one))
    responses = [run(its_call, one) for one, its_call in pairs]
    return omero.cmd.DoAllRsp(responses, [finished(one) for one in requests])


def skip_head(call: Call, request: omero.cmd.SkipHead) -> omero.cmd.Response:
    """Run a request not on its targets but on the objects below them of the classes in ``startFrom``."""
    if not isinstance(request.request, (omero.cmd.Delete2, omero.cmd.Chgrp2, omero.cmd.Duplicate)):
        raise refused("graph-fail", "SkipHead needs a request to delete, move or copy objects")
    head = rehearsal(request.request)
    head.targetObjects, head.childOptions = request.targetObjects, request.childOptions
    response = run(call, head)
    fields = ("includedObjects", "deletedObjects", "duplicates")
    below = next(getattr(response, name) for name in fields if hasattr(response, name))
    tail = copy.copy(request.request)
    tail.dryRun = request.dryRun or tail.dryRun
    tail.targetObjects = {
        name: ids
        for name, ids in below.items()
        if any(is_named(call.store.model.get(name), start) for start in request.startFrom or ())
    }
    return run(call, tail)


def rehearsal(request: omero.cmd.GraphModify2) -> omero.cmd.GraphModify2:
    """The same request as a dry run."""
    trial = copy.copy(request)
    trial.dryRun = True
    return trial


def finished(request: omero.cmd.Request) -> omero.cmd.Status:
    """Status of a request which went well."""
    count = steps(request)
    return omero.cmd.Status(
        category=request.ice_staticId(), name="", flags=[], parameters={}, currentStep=count - 1, steps=count
    )


COMMANDS: dict[type, Callable[[Call, omero.cmd.Request], omero.cmd.Response]] = {
    omero.cmd.Chgrp2: chgrp,
    omero.cmd.CurrentSessionsRequest: current_sessions,
    omero.cmd.Delete2: delete,
    omero.cmd.DoAll: do_all,
    omero.cmd.Duplicate: duplicate,
    omero.cmd.OriginalMetadataRequest: original_metadata,
    omero.cmd.SkipHead: skip_head,
    omero.cmd.UpdateSessionTimeoutRequest: update_timeout,
}
