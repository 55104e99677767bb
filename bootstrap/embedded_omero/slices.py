"""Imports all of omero-py's generated classes, without the warnings of the deprecated ones among them."""

import atexit
import os
import shutil
import tempfile
import warnings

if "OMERO_TMPDIR" not in os.environ:
    # omero-py picks its temporary folder when it is imported, below the home folder unless told otherwise.
    os.environ["OMERO_TMPDIR"] = tempfile.mkdtemp(prefix="omero-tmp-")
    atexit.register(shutil.rmtree, os.environ["OMERO_TMPDIR"], ignore_errors=True)

with warnings.catch_warnings(record=True):  # they insist on being shown, whatever the filter
    import omero.all
    import omero.model  # noqa: F401
