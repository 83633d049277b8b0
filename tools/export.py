"""The command ``lors-det export`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("export")
