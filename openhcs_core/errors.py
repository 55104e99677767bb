"""The one exception root of the project."""


class OpenHCSError(Exception):
    """Base of every error that OpenHCS raises on purpose.

    Its message is meant for the person who started the work: it says what is wrong and what to do.
    """


def said(error: Exception) -> str:
    """What an error says to a person; where in the code it came from is for a log."""
    if isinstance(error, OpenHCSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {getattr(error, 'message', None) or error}"
