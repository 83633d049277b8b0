"""``python -m lors_det COMMAND``: the same as ``lors-det COMMAND``."""

from lors_det.cli import main

if __name__ == "__main__":
    main()
