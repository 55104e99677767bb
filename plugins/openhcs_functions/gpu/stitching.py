"""The functions of `openhcs_functions.stitching` on the GPU."""

from openhcs_functions import stitching
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(stitching, __name__))
