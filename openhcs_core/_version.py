"""The version of the project; setup.cfg reads it from here."""

__version__ = "0.1.0.dev0"
