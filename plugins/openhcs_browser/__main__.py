"""``python -m openhcs_browser``."""

import argparse
import sys

from openhcs_browser.command import add_options, browse
from openhcs_core.errors import OpenHCSError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="openhcs browse", description=__import__("openhcs_browser").__doc__)
    add_options(parser)
    try:
        sys.exit(browse(parser.parse_args()))
    except OpenHCSError as error:
        sys.exit(f"openhcs: {error}")
