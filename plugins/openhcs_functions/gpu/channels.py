"""The functions of `openhcs_functions.channels` on the GPU."""

from openhcs_functions import channels
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(channels, __name__))
