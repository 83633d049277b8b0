"""The command ``lors-det check-data`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("check-data")
