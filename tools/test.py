"""The command ``lors-det test`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("test")
