"""The command ``lors-det study`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("study")
