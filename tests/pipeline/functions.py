"""Small functions for pipelines of tests, and plates for them. Workers import this module by name."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import tifffile

from openhcs_core.functions import GroupContext, processing_function
from openhcs_core.pipeline import Effective, GlobalPipelineConfig, PipelineConfig
from openhcs_core.pipeline.compiler import compile_pipeline
from openhcs_core.pipeline.worker import Work, Worker
from openhcs_core.plate import PlaneAddress, PlateChannel
from openhcs_core.storage.backend import Results
from openhcs_core.storage.filemanager import FileManager
from openhcs_core.storage.memory import MemoryBackend


@processing_function()
def plus(image, amount: int = 1):
    return image + np.uint16(amount)


@processing_function(axes="ZYX", planes="one")
def highest(image):
    return image.max(axis=0)


@processing_function(axes="ZYX")
def minus_mean(image):
    return image - image.mean(axis=0).astype(image.dtype)


@processing_function(axes="CZYX")
def weighted(image, weights: tuple[int, ...] = (1,)):
    """Each channel times its weight, plus the number of the section from 0."""
    channels = np.asarray(weights, image.dtype)[:, None, None, None]
    return image * channels + np.arange(image.shape[1], dtype=image.dtype)[None, :, None, None]


@processing_function(outputs=("labels",))
def above(image, value: int = 100):
    return (image > value).astype(np.uint16)


@processing_function(outputs=("image", "labels"))
def both(image):
    return image * 2, (image > 0).astype(np.uint8)


@processing_function(outputs=("image", "table"))
def image_and_table(image):
    return image, {"Sum": [int(image.sum())]}


@processing_function(inputs=("labels",), outputs=("table",))
def mean_inside(image, labels):
    return {"Mean": [float(image[labels > 0].mean())] if labels.any() else [], "Area": [int((labels > 0).sum())]}


@processing_function(inputs=("other",), outputs=("image",), axes="ZYX")
def add_stack(image, other=None):
    return image if other is None else image + other


@processing_function(outputs=("table",))
def statistics_of(image):
    return {"Sum": [int(image.sum())]}


@processing_function(axes="CYX", outputs=("table",), context=True)
def told(image, context: GroupContext):
    """What the function is told about its group."""
    names = [context.channels[address.channel - 1] for address in context.addresses]
    stems = " ".join(address.stem for address in context.addresses)
    return {"Names": ["+".join(names)], "Stems": [stems], "Pixel": [context.voxel_size_um[2]]}


@processing_function(axes="SYX", planes="one", context=True)
def side_by_side(image, context: GroupContext):
    return np.concatenate(list(image), axis=1)


@processing_function()
def broken_at(image, value: int):
    """Fails on planes whose first pixel has a value."""
    if image[0, 0] == value:
        raise ValueError(f"a pixel of {value}")
    return image


@processing_function()
def enlarged(image, times: int = 32):
    """Large enough for shared memory, and unlike that of any other address."""
    return np.kron(image, np.ones((times, times), image.dtype))


@processing_function()
def wrong_shape(image):
    return image[0]


@processing_function(outputs=("labels",))
def fractions(image):
    return image / 2


@processing_function(memory_type="cupy")
def on_gpu(image):
    assert not isinstance(image, np.ndarray)
    return image + image


@processing_function(memory_type="cupy", axes="ZYX", planes="one")
def highest_on_gpu(image):
    assert not isinstance(image, np.ndarray)
    return image.max(axis=0)


@processing_function()
def deadly(image, value: int, mark: str, times: int = 1000):
    """Kills its own process, so many times, on planes whose first pixel has a value."""
    if image[0, 0] == value:
        before = len(list(Path(mark).parent.glob(Path(mark).name + "*")))
        if before < times:
            Path(f"{mark}{before}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return image


@processing_function()
def slow(image, seconds: float, mark: str = ""):
    """Sleeps; leaves a file with the id of its process when it begins."""
    if mark:
        Path(mark, str(os.getpid())).touch()
    time.sleep(seconds)
    return image


def undeclared(image):
    return image


def pixels(address):
    """A small plane that tells where it is from."""
    row, column = ord(address.well[0]) - ord("A"), int(address.well[1:])
    plane = np.full((8, 8), 10 * address.channel + address.z_index, np.uint16)
    plane[0, 0] = 1000 * row + 100 * column + 10 * address.site
    return plane


def addresses(wells=("A01", "A02"), sites=2, channels=2, sections=3):
    return [
        PlaneAddress(well, site, channel, z)
        for well in wells
        for site in range(1, sites + 1)
        for channel in range(1, channels + 1)
        for z in range(1, sections + 1)
    ]


def write_plate(folder, **sizes):
    """A plate of TIFF files; return its folder."""
    folder.mkdir(parents=True)
    for address in addresses(**sizes):
        tifffile.imwrite(folder / address.path, pixels(address))
    return folder


def memory_plate(planes=None, names=("DNA", "Actin"), **sizes):
    """A backend in memory with the plate "plate", and its layout."""
    backend = MemoryBackend()
    planes = planes or {address: pixels(address) for address in addresses(**sizes)}
    channels = tuple(map(PlateChannel, names))
    backend.add("plate", planes, channels=channels, voxel_size_um=(2.0, 0.5, 0.5))
    return backend, backend.open_plate("plate").layout


def compiled(layout, steps, wells=None, **settings):
    """What the compiler makes of a pipeline, with these settings."""
    options = {name: settings.pop(name) for name in ("gpus", "available", "backend_problem") if name in settings}
    config = Effective(GlobalPipelineConfig, [("the pipeline", PipelineConfig(save_to=("memory",), **settings))])
    return compile_pipeline(layout, steps, config, wells=wells, **options)


def run_here(steps, planes=None, events=None, gpus=0, **sizes):
    """Run a pipeline in this process; return the backend with the results below "out"."""
    backend, layout = memory_plate(planes, **sizes)
    plan = compiled(layout, steps, gpus=gpus)
    results = Results("out", layout, run="a run")
    facts = GroupContext(
        layout.name, (), layout.voxel_size_um, layout.positions_um, tuple(item.name for item in layout.channels)
    )
    work = Work({"memory": backend}, "memory", "plate", {"memory": results}, plan.steps, facts, plan.gpus)
    with Worker(work) as worker:
        for context in plan.contexts.values():
            worker.run(context, (lambda event: None) if events is None else events.append)
        files = worker._files
        assert isinstance(files, FileManager)
        files.open_results(results, "memory").finish(layout.wells)
    return backend


def result(backend, name, address):
    """A plane of the results."""
    return backend.open_plate(f"out/{name}").read([address])[0]
