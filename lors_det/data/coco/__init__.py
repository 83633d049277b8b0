"""COCO JSON files, of whatever layout."""
