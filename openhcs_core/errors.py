"""The one exception root of the project."""


class OpenHCSError(Exception):
    """Base of every error that OpenHCS raises on purpose.

    Its message is meant for the person who started the work: it says what is wrong and what to do.
    """
