"""Images like those of a camera: offset, smooth signal, shot noise and read noise; no two planes are equal."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def camera_plane(t: int, c: int, z: int, height: int, width: int) -> np.ndarray:
    """One plane (height, width) uint16, always the same for the same numbers."""
    generator = np.random.default_rng((t, c, z))
    y = (np.arange(height, dtype=np.float32) / height - 0.5 - 0.002 * (z - 64))[:, None]
    x = (np.arange(width, dtype=np.float32) / width - 0.4 - 0.1 * c)[None, :]
    signal = 60 + 300 * np.exp(-12 * y**2) * np.exp(-16 * x**2)
    plane = generator.standard_normal((height, width), np.float32)
    plane *= np.sqrt(signal + 4)
    plane += signal
    plane += 100
    return plane.astype(np.uint16)


def camera_image(shape: tuple[int, int, int, int, int]) -> np.ndarray:
    """An image (T, C, Z, Y, X) uint16 of such planes."""
    image = np.empty(shape, np.uint16)

    def fill(index: tuple[int, int, int]) -> None:
        image[index] = camera_plane(*index, *shape[3:])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, np.ndindex(shape[:3])))
    return image
