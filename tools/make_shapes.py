"""The command ``lors-det make-shapes`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("make-shapes")
