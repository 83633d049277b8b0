"""The command ``lors-det choose-threshold`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("choose-threshold")
