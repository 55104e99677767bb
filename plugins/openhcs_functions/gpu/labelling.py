"""The functions of `openhcs_functions.labelling` on the GPU."""

from openhcs_functions import labelling
from openhcs_functions.gpu import on_gpu

globals().update(on_gpu(labelling, __name__))
