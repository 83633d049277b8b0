"""The command ``lors-det count-flops`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("count-flops")
