"""Detections from a checkpoint alone: in arrays, image files, folders, videos and streams."""

from lors_det.inference.detections import Detection, Detections
from lors_det.inference.detector import Detector
from lors_det.inference.tiling import TiledDetector

__all__ = ["Detection", "Detections", "Detector", "TiledDetector"]
