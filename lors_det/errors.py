"""The error for what a user can mend, and the end that a cluster asks for."""


class InputError(ValueError):
    """Data, a config or a checkpoint is wrong; the message names what, where and the remedy.

    Tools print it without a traceback and exit with status 2.
    """


TERMINATED = 143
"""Exit status after SIGTERM, the shell's convention."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, likewise."""


class Terminated(KeyboardInterrupt):
    """SIGTERM asked this process to end, as a cluster does before it kills a job.

    The tools' exit status is then :data:`TERMINATED`.
    """
