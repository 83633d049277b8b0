"""The command ``lors-det prepare-coco`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("prepare-coco")
