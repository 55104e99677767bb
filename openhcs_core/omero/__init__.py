"""The only part of OpenHCS that talks to OMERO. Importing the modules in it needs omero-py."""
