"""One call of every function, with images that give it something to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from openhcs_core.functions import FunctionSpec, GroupContext
from openhcs_core.plate import PlaneAddress

NUCLEI = [(12, 14), (12, 24), (34, 18), (40, 44), (22, 48), (50, 8)]
CONTEXT = GroupContext(
    plate="P",
    addresses=tuple(PlaneAddress("A01", site) for site in (1, 2, 3)),
    voxel_size_um=(1.0, 0.5, 0.5),
    positions_um={("A01", 1): (0.0, 0.0), ("A01", 2): (0.0, 25.0), ("A01", 3): (20.0, 10.0)},
    channels=("DNA", "actin"),
)

CALLS: dict[str, tuple[dict[str, Any], ...]] = {
    "background.subtract_constant": ({"value": 30},),
    "background.subtract_percentile": ({"percentile": 20.0},),
    "background.white_top_hat": ({"size": 15},),
    "background.rolling_ball": ({"radius": 6}, {"radius": 20}),
    "channels.add_channels": ({},),
    "channels.subtract_channels": ({"factor": 0.5}, {"reverse": True}),
    "channels.divide_channels": ({"background": 5.0}, {"reverse": True}),
    "channels.merge_channels": ({"weights": (1, 2)}, {}),
    "flatfield.flat_field_stack": ({"sigma": 10.0},),
    "flatfield.flat_field_smooth": ({"sigma": 20.0},),
    "intensity.normalize_percentile": ({}, {"low": 5.0, "high": 50.0, "clip": False}),
    "intensity.normalize_percentile_3d": ({},),
    "labelling.connected_components": ({}, {"connectivity": 2}),
    "labelling.connected_components_3d": ({}, {"connectivity": 3}),
    "labelling.fill_holes": ({},),
    "labelling.keep_by_area": ({"min_area": 40, "max_area": 100},),
    "labelling.keep_by_volume": ({"min_volume": 40, "max_volume": 1000},),
    "labelling.remove_border_objects": ({"margin": 3},),
    "labelling.expand_labels": ({"distance": 2.5},),
    "measurement.measure_objects": ({},),
    "measurement.measure_objects_3d": ({},),
    "measurement.measure_field": ({},),
    "measurement.count_objects": ({},),
    "projection.max_projection": ({},),
    "projection.mean_projection": ({},),
    "projection.sum_projection": ({},),
    "projection.best_focus": ({},),
    "segmentation.blobs": ({"diameter": 10.0}, {"diameter": 10.0, "min_contrast": 5.0, "min_area": 20}),
    "segmentation.blobs_3d": ({"diameter": 10.0}, {"diameter": 10.0, "z_step": 1.0}),
    "smoothing.gaussian": ({"sigma": 1.5},),
    "smoothing.gaussian_3d": ({"sigma": 1.5}, {"sigma": 1.5, "z_step": 3}),
    "smoothing.median": ({"size": 3},),
    "smoothing.difference_of_gaussians": ({},),
    "stitching.stitch_fields": ({},),
    "thresholds.threshold": ({"method": "otsu"}, {"method": "li"}, {"method": "triangle", "factor": 1.2}),
    "thresholds.threshold_3d": ({"method": "otsu"},),
    "thresholds.threshold_fixed": ({"value": 60},),
    "thresholds.threshold_local": ({"size": 15}, {"method": "gaussian", "size": 15}, {"method": "sauvola", "size": 15}),
    "watershed.split_touching": ({"min_distance": 4},),
    "watershed.split_touching_3d": ({"min_distance": 4}, {"min_distance": 4, "z_step": 1.0}),
    "watershed.seeded_watershed": ({}, {"landscape": "gradient"}, {"landscape": "intensity", "method": "otsu"}),
}
"""Parameters by name of module and function."""

TAKES_LABELS = {"labelling", "measurement.count_objects", "watershed.split_touching", "watershed.split_touching_3d"}


def scene(dtype: Any = np.uint16, planes: int = 1) -> np.ndarray:
    """Nuclei, two of them touching, on uneven and noisy ground; axes YX, or with a first axis of so many planes."""
    generator = np.random.default_rng(7)
    y, x = np.mgrid[:60, :56]
    plane = 20 + 0.2 * x + sum(120 * np.exp(-((((y - cy) ** 2 + (x - cx) ** 2) / 18) ** 2)) for cy, cx in NUCLEI)
    depth = np.exp(-(((np.arange(planes) - (planes - 1) / 2) / max(planes / 3, 1)) ** 2))
    stack = ndimage.gaussian_filter(depth[:, None, None] * plane, (0, 0.5, 0.5))
    stack = (stack + generator.normal(0, 2, stack.shape)).clip(0)
    made = stack.astype(dtype)
    return made if planes > 1 else made[0]


def labelled(planes: int = 1) -> np.ndarray:
    """Numbered nuclei of the scene, uint16; one number is missing."""
    mask = scene(np.float64, planes) > 70
    labels = ndimage.label(mask)[0].astype(np.uint16)
    labels[labels == 3] = 0
    return labels


def arguments(spec: FunctionSpec, name: str, dtype: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Image and array parameters for a function."""
    planes = {"": 1, "Z": 9, "S": 3, "C": 2}[spec.axes[:-2]]
    is_mask = name in TAKES_LABELS or name.partition(".")[0] in TAKES_LABELS
    image = labelled(planes) if is_mask else scene(dtype, planes)
    if spec.axes == "CYX":
        image[1] = image[1][::-1]
    if spec.axes == "SYX":
        image = np.stack([image[0], image[1][::-1], image[2][:, ::-1]])
    if name in ("labelling.fill_holes",):
        image[12, 14] = 0
    extra: dict[str, Any] = {parameter: labelled(planes) for parameter in spec.inputs}
    if spec.context:
        extra["context"] = CONTEXT
    return image, extra


Function = Callable[..., Any]
