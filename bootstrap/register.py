"""``python -m bootstrap.register``: the scripts of this checkout onto an OMERO.server.

The same as ``openhcs scripts register``, for a checkout that is not installed; see its ``--help``.
"""

import sys

from openhcs_core.cli import main

if __name__ == "__main__":
    sys.exit(main(["scripts", "register", *sys.argv[1:]]))
