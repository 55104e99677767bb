"""An Imaris file of images that are larger than memory: planes made, or loaded, as they are needed.

pip install "openhcs-omero[fast]" "dask[array]"
python write_ims.py cells.ims
"""

import sys

import dask.array as da
import numpy as np

from openhcs_core.imaris import ImsChannel, write_ims


def plane(block_info):
    """One section: noise around a level that grows with depth. Load a file here instead."""
    (_, depth, _, _) = block_info[None]["chunk-location"]
    return np.random.default_rng(depth).poisson(100 + depth, block_info[None]["chunk-shape"]).astype(np.uint16)


def main():
    image = da.map_blocks(plane, chunks=((1, 1), (1,) * 16, (512,), (512,)), dtype=np.uint16)
    notes = write_ims(
        image,
        sys.argv[1],
        axes="CZYX",
        voxel_size_um=(0.5, 0.108, 0.108),
        channels=[
            ImsChannel("DNA", color=(0.2, 0.4, 1.0), emission_nm=460),
            ImsChannel("Actin", color=(0.0, 1.0, 0.0)),
        ],
        progress=lambda done, total: print(f"{100 * done // total} %", flush=True),
    )
    for note in notes:
        print(note)


if __name__ == "__main__":
    main()
