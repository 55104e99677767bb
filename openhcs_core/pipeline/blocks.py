"""Calls of a well into blocks that need nothing of each other, each in an order that keeps memory low."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from openhcs_core.functions import spec_of
from openhcs_core.pipeline.grouping import reduces
from openhcs_core.pipeline.plan import BEHIND, FROM_PLATE, Block, Call, StepPlan, Value

UNKNOWN_ITEMSIZE = 4
"""Bytes per pixel that what a function makes has at least: labels and floating point numbers."""
SCRATCH = 16
"""Bytes per pixel that a function may need for itself: two copies in double precision."""


def blocks(calls: Sequence[Call], steps: Sequence[StepPlan], size_yx: tuple[int, int], dtype: np.dtype) -> list[Block]:
    """Blocks of the calls of a well, in order of their first planes.

    Parameters
    ----------
    calls : sequence of Call
        In order of the steps.
    steps : sequence of StepPlan
    size_yx : (height, width)
        Of the planes of the plate.
    dtype : dtype
        Of these.
    """
    givers = {
        Value(call.step, kind, address): number
        for number, call in enumerate(calls)
        for kind in ("image", "labels")
        for address in call.outputs
    }
    made = []
    for members in _connected(calls, givers):
        ordered = [calls[number] for number in _depth_first(members, calls, givers)]
        freed = _with_frees(ordered)
        specs = [spec_of(function) for call in freed for function, _ in steps[call.step].chains[call.chain]]
        on_gpu = any(spec.memory_type == "cupy" for spec in specs)
        made.append(Block(freed, _peak(freed, steps, size_yx[0] * size_yx[1], dtype.itemsize), on_gpu))
    return made


def _connected(calls: Sequence[Call], givers: dict[Value, int]) -> list[list[int]]:
    """Numbers of the calls which share planes, directly or through others."""
    parents = list(range(len(calls)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    readers: dict[Value, int] = {}
    for number, call in enumerate(calls):
        for value in call.taken():
            other = readers.setdefault(value, number) if value.step == FROM_PLATE else givers[value]
            first, second = sorted((root(number), root(other)))
            parents[second] = first
    found: dict[int, list[int]] = {}
    for number in range(len(calls)):
        found.setdefault(root(number), []).append(number)
    return list(found.values())


def _depth_first(members: Sequence[int], calls: Sequence[Call], givers: dict[Value, int]) -> list[int]:
    """Each call just before the first one that needs it."""
    needs = {
        number: list(dict.fromkeys(givers[value] for value in calls[number].taken() if value.step != FROM_PLATE))
        for number in members
    }
    needed = {other for others in needs.values() for other in others}
    order: dict[int, None] = {}
    last = sorted((number for number in members if number not in needed), key=lambda n: (calls[n].outputs[0], n))
    pending = [(number, False) for number in reversed(last)]
    while pending:
        number, ready = pending.pop()
        if number in order:
            continue
        if ready:
            order[number] = None
        else:
            pending.append((number, True))
            pending += [(other, False) for other in reversed(needs[number]) if other not in order]
    return list(order)


def _with_frees(calls: Sequence[Call]) -> tuple[Call, ...]:
    last = {value: number for number, call in enumerate(calls) for value in call.taken()}
    free: list[list[Value]] = [[] for _ in calls]
    for value, number in last.items():
        free[number].append(value)
    return tuple(call._replace(free=tuple(free[number])) for number, call in enumerate(calls))


def _peak(calls: Sequence[Call], steps: Sequence[StepPlan], pixels: int, itemsize: int) -> int:
    """Memory that the calls need at most: planes that are kept, and what the call at hand needs for itself."""
    wanted = {value for call in calls for value in call.taken()}
    sizes: dict[Value, tuple[int, int]] = {}  # pixels and bytes of each plane that is kept
    peak = held = 0
    for call in calls:
        for value in call.taken():
            if value.step == FROM_PLATE and value not in sizes:
                sizes[value] = pixels, pixels * itemsize
                held += pixels * itemsize
        chain = [spec_of(function) for function, _ in steps[call.step].chains[call.chain]]
        area = [sizes[value][0] for value in call.inputs]
        needs = extra = 0
        for spec in chain:
            at_once = max(area) if spec.axes == "YX" else sum(area)
            if reduces(spec):  # a mosaic may be as large as all its fields
                area = [sum(area) if spec.context else max(area)]
            extra = max(extra, SCRATCH * at_once)
            needs = max(needs, (2 + BEHIND) * sum(area) * max(itemsize, UNKNOWN_ITEMSIZE))
        stacked = sum(sizes[value][1] for value in call.taken()) if any(spec.axes != "YX" for spec in chain) else 0
        peak = max(peak, held + stacked + needs + extra)
        for kind in steps[call.step].kinds:
            for address, size in zip(call.outputs, area, strict=True):
                value = Value(call.step, kind, address)
                if value in wanted:
                    sizes[value] = size, size * max(itemsize, UNKNOWN_ITEMSIZE)
                    held += sizes[value][1]
        for value in call.free:
            held -= sizes.pop(value)[1]
    return peak
