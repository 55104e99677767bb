"""Fails once it has its parameters."""

import omero.scripts as scripts

client = scripts.client("Bad_Script.py", "A script that fails.", scripts.Int("X", default=1))
print("so far, so good")
raise RuntimeError("as intended")
