"""YOLO labels, with data.yaml or in folders alone."""
