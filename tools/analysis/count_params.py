"""The command ``lors-det count-params`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("count-params")
