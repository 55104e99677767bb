"""A test of an OMERO script, here of one from omero-scripts. It needs no server:

pip install "openhcs-omero[embedded]" omero-scripts pytest
pytest test_an_omero_script.py
"""

from pathlib import Path

import numpy as np
import omero
from omero.gateway import DatasetWrapper

SCRIPT = Path(omero.__file__).parent / "util_scripts" / "Dataset_To_Plate.py"


def test_every_image_of_a_dataset_gets_a_well(omero_conn, omero_script):
    dataset = DatasetWrapper(omero_conn, omero.model.DatasetI())
    dataset.setName("Growth")
    dataset.save()
    for name in ("first", "second", "third"):
        omero_conn.createImageFromNumpySeq(iter([np.zeros((8, 8), "uint8")]), name, dataset=dataset._obj)
    run = omero_script(SCRIPT)(IDs=[dataset.id], First_Axis_Count=2, Screen="Assays")
    assert run.code == 0, run.stderr
    assert run.outputs["Message"] == "New screen created: Assays. New plate created: Growth."
    (plate,) = omero_conn.getObjects("Plate")
    assert sorted(well.getWellPos() for well in plate.listChildren()) == ["A1", "A2", "B1"]
