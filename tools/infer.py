"""The command ``lors-det infer`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("infer")
