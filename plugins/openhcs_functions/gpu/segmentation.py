"""The functions of `openhcs_functions.segmentation` on the GPU."""

from openhcs_functions import segmentation
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(segmentation, __name__))
