"""The command ``lors-det plot-curves`` as a script."""

from lors_det.cli import run

if __name__ == "__main__":
    run("plot-curves")
