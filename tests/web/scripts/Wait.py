"""Goes on until it is stopped."""

import time

import omero.scripts as scripts

client = scripts.client("Wait.py", "A script that waits.")
time.sleep(300)
