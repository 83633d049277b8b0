"""Training from the command line or a notebook: a config, and if wanted a folder of one's own data."""

from lors_det.training.result import TrainingResult
from lors_det.training.run import train

__all__ = ["TrainingResult", "train"]
