"""Plates to work with."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from openhcs_backends.disk import DiskBackend
from openhcs_backends.zarr_backend import ZarrBackend
from openhcs_core.plate import PlaneAddress, PlateChannel
from openhcs_core.storage import MemoryBackend, Results

BACKENDS = {"memory": MemoryBackend, "disk": DiskBackend, "zarr": ZarrBackend}
CHANNELS = (PlateChannel("DNA", (0.0, 0.0, 1.0), (10.0, 400.0)), PlateChannel("actin", (0.0, 1.0, 0.0)))
VOXEL = (2.0, 0.5, 0.25)
POSITIONS = {("B03", 1): (0.0, 0.0), ("B03", 2): (0.0, 100.5), ("A10", 1): (-3.25, 7.0)}
PLANES = [
    PlaneAddress(well, site, channel, z, t)
    for well in ("B03", "A10")
    for site in (1, 2)
    for channel in (1, 2)
    for z in (1, 2)
    for t in (1, 2)
]


def pixels(address: PlaneAddress, shape=(30, 40), dtype="uint16") -> np.ndarray:
    """Different pixels for each plane, always the same."""
    generator = np.random.default_rng(list(address.stem.encode()))
    if np.dtype(dtype).kind == "f":
        return generator.normal(size=shape).astype(dtype)
    return generator.integers(0, min(np.iinfo(dtype).max, 60000), shape).astype(dtype)


def plate(addresses: Iterable[PlaneAddress] = PLANES, shape=(30, 40), dtype="uint16"):
    """An open plate in memory."""
    backend = MemoryBackend()
    planes = {address: pixels(address, shape, dtype) for address in addresses}
    backend.add("cells", planes, channels=CHANNELS, voxel_size_um=VOXEL, positions_um=POSITIONS)
    return backend.open_plate("cells")


def results(location, layout, run="1", **more) -> Results:
    """Results of a run at a place."""
    return Results(str(location), layout, "pipeline_steps = []\n", run, {"version of openhcs": "1"}, **more)


def save(writer, opened, step, well, kind="image", dtype=None):
    """Save the planes of a well as they are."""
    addresses = opened.layout.planes[well]
    planes = opened.read(addresses)
    if dtype:
        planes = [plane.astype(dtype) for plane in planes]
    writer.save_batch(planes, [address.path for address in addresses], step_name=step, kind=kind)
