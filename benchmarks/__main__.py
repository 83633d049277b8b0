"""``python -m benchmarks``, in a checkout: times of this project's operations against the published ones."""

from benchmarks import command
from lors_det.cli import run_command

if __name__ == "__main__":
    run_command(command, prog="python -m benchmarks")
