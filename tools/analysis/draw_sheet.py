"""The command ``lors-det draw-sheet`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("draw-sheet")
