"""What can be wrong with the text of a query. Clients see a QueryException (or ApiUsageException for changes)."""

from __future__ import annotations


class HqlError(Exception):
    """A query which cannot be evaluated; the message is worded like the server's.

    Parameters
    ----------
    message : str
    quote : bool
        Whether the server repeats the query in brackets after this message.
    """

    def __init__(self, message: str, quote: bool = True) -> None:
        super().__init__(message)
        self.quote = quote


class HqlSyntaxError(HqlError):
    """The text does not follow the grammar."""


class HqlSemanticError(HqlError):
    """The text is well formed, but names something which does not exist or cannot be used there."""


class HqlChangeError(HqlError):
    """A statement which would change data; the message is the statement with full class names."""
