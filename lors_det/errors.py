"""The error for what a user can mend."""


class InputError(ValueError):
    """Data, a config or a checkpoint is wrong; the message names what, where and the remedy.

    Tools print it without a traceback and exit with status 2.
    """
