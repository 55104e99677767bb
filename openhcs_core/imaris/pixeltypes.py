"""What becomes of pixel types that an Imaris file cannot hold.

An Imaris file holds uint8, uint16, uint32 and float32. Everything else is converted by this rule:

===================  ======================================  =================
Image                Stored as                               Exact
===================  ======================================  =================
bit (bool)           uint8, 0 and 1                          yes
int8                 uint8 if no value is negative,          yes
                     else float32
int16                uint16 if no value is negative,         yes
                     else float32
float16              float32                                 yes
int32, int64,        float32                                 up to 16 777 216
uint64
float64 (double)     float32                                 7 digits
complex              refused
===================  ======================================  =================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from openhcs_core.imaris.errors import ImsError

STORED = tuple(np.dtype(name) for name in ("<u1", "<u2", "<u4", "<f4"))

_EXACT_IN_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class PixelConversion:
    """How voxels of one type are stored.

    Attributes
    ----------
    source, target : dtype
        Type of the image and of the file.
    statement : str or None
        For people: what changes; None when nothing does.
    exact : bool
        Whether every value survives.
    """

    source: np.dtype
    target: np.dtype
    statement: str | None
    exact: bool

    def __call__(self, block: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Convert a block.

        Parameters
        ----------
        block : ndarray
            Of the source type.
        out : ndarray, optional
            Of the target type and the shape of `block`; made if not given.

        Raises
        ------
        ImsError
            If a value is negative although the known range said that none is.
        """
        if out is None:
            out = np.empty(block.shape, self.target)
        if self.source.kind == "i" and self.target.kind == "u" and block.size and block.min() < 0:
            raise ImsError(
                f"The image holds the value {block.min()}, but its known range has no negative values: "
                f"{self.source.name} cannot be stored as {self.target.name}. Give the right range, or none."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(out, block, casting="unsafe")
        return out


def pixel_conversion(dtype: np.dtype | str, value_range: tuple[float, float] | None = None) -> PixelConversion:
    """The conversion of a pixel type to one that an Imaris file can hold.

    Parameters
    ----------
    dtype : dtype
        Type of the image, of any byte order.
    value_range : (low, high), optional
        Known smallest and largest value. Without it int8 and int16 are taken to hold negative values.

    Returns
    -------
    PixelConversion

    Raises
    ------
    ImsError
        For complex and non-numeric types.
    """
    source = np.dtype(dtype)
    plain = source.newbyteorder("<")
    if plain in STORED:
        return PixelConversion(source, plain, None, True)
    name = source.name
    if source.kind == "c":
        raise ImsError(
            f"Pixels of type {name} cannot be stored in an Imaris file. "
            "Export the real and imaginary part, or magnitude and phase, as channels of their own."
        )
    if source.kind == "b":
        return PixelConversion(source, STORED[0], "bit stored as uint8: 0 and 1", True)
    float32 = STORED[3]
    if source.kind == "i" and source.itemsize <= 2:
        if value_range is not None and value_range[0] >= 0:
            target = STORED[source.itemsize - 1]
            return PixelConversion(source, target, f"{name} stored as {target.name}: no negative values", True)
        reason = "negative values" if value_range is not None else "negative values are possible"
        return PixelConversion(source, float32, f"{name} stored as float32: {reason}, every value kept", True)
    if source.kind == "f" and source.itemsize == 2:
        return PixelConversion(source, float32, f"{name} stored as float32: every value kept", True)
    if source.kind in "iu":
        if value_range is not None and max(map(abs, value_range)) <= _EXACT_IN_FLOAT32:
            return PixelConversion(source, float32, f"{name} stored as float32: every value kept", True)
        statement = f"warning: {name} stored as float32: values beyond ±{_EXACT_IN_FLOAT32} are rounded"
        return PixelConversion(source, float32, statement, False)
    if source.kind == "f":
        statement = f"warning: {name} stored as float32: values are rounded to 7 digits"
        return PixelConversion(source, float32, statement, False)
    raise ImsError(f"Pixels of type {name} are not numbers and cannot be stored in an Imaris file.")
