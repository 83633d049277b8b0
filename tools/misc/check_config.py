"""The command ``lors-det check-config`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("check-config")
