"""Arrays of a program of your own, shown in a viewer while they are made.

pip install openhcs-omero
openhcs view napari          # in another terminal; it says its address
python stream_arrays.py tcp://127.0.0.1:5555
"""

import sys

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, Channel
from openhcs_core.streaming.publisher import Publisher

SECTIONS, TIMES = 8, 5


def section(z, t):
    """A ball that moves: one plane (Y, X) of uint16."""
    y, x = np.mgrid[:256, :256]
    distance = np.sqrt((y - 128) ** 2 + (x - 60 - 30 * t) ** 2 + (12 * (z - SECTIONS // 2)) ** 2)
    return (4000 * np.exp(-((distance / 40) ** 2))).astype(np.uint16)


def main():
    with Publisher(connect=[sys.argv[1]]) as publisher:
        publisher.begin(
            Begin(
                stream="ball",
                title="A ball",
                values={"z_index": tuple(range(1, SECTIONS + 1)), "timepoint": tuple(range(1, TIMES + 1))},
                channels=(Channel(name="ball", color=(0.0, 1.0, 0.0), window=(0.0, 4000.0)),),
                voxel_size_um=(1.0, 0.2, 0.2),
            )
        )
        for t in range(TIMES):
            for z in range(SECTIONS):
                publisher.save("ball", section(z, t), PlaneAddress("", z_index=z + 1, timepoint=t + 1))
        print(publisher.close())


if __name__ == "__main__":
    main()
