"""Data sets: readers of folders in COCO's, YOLO's and Pascal VOC's form, their doctor, and a synthetic generator.

Needs numpy, OpenCV, Pillow and PyYAML.
"""
