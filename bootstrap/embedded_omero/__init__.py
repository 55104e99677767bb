"""An OMERO.server stand-in for tests and demonstrations: unmodified clients and the real script processor work with it.

It is not a product for production: everything is kept in memory and gone when it stops.
"""

__all__ = ["EmbeddedOmero"]


def __getattr__(name: str):
    # Importing omero-py takes half a second: only who starts a server pays for it.
    if name == "EmbeddedOmero":
        from .server import EmbeddedOmero

        return EmbeddedOmero
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
