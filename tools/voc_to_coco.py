"""The command ``lors-det voc-to-coco`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("voc-to-coco")
