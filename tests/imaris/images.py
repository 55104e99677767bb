"""Images made for the tests, and an independent statement of what a pyramid is."""

from __future__ import annotations

import numpy as np


def noise(shape: tuple[int, ...], dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    """Random voxels; integers over their whole range, floats of both signs."""
    generator = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return generator.random(shape) < 0.5
    if kind.kind == "f":
        return generator.normal(0, 100, shape).astype(kind)
    limits = np.iinfo(kind)
    return generator.integers(limits.min, limits.max, shape, kind, endpoint=True)


def camera(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """uint16 with the offset and the noise of a camera."""
    generator = np.random.default_rng(seed)
    return (100 + generator.poisson(60, shape)).astype(np.uint16)


def box_mean(volume: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The next level, straight from its definition: the mean of every box, truncated for integers."""
    factors = [2 if small < large else 1 for small, large in zip(shape, volume.shape, strict=True)]
    cut = volume[tuple(slice(size * factor) for size, factor in zip(shape, factors, strict=True))]
    boxes = cut.reshape([part for pair in zip(shape, factors, strict=True) for part in pair])
    mean = boxes.astype(np.float64).mean(axis=(1, 3, 5))
    return mean.astype(volume.dtype) if volume.dtype.kind == "f" else np.trunc(mean).astype(volume.dtype)
