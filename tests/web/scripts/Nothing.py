"""An entry of the menu that nobody chooses."""

import omero.scripts as scripts

client = scripts.client("Nothing.py", "Does nothing.")
client.closeSession()
