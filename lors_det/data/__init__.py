"""Data sets: a synthetic generator and a converter. Needs numpy, OpenCV and the standard library only."""
