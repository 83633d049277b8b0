"""Hooks of training and evaluation; importing this registers them."""

from lors_det.plugin.hooks import data_guard, early_stopping, folding, gentle_finish

__all__ = ["data_guard", "early_stopping", "folding", "gentle_finish"]
