"""Hooks of training and evaluation; importing this registers them."""

from lors_det.plugin.hooks import data_guard, early_check, folding, gentle_finish, patience

__all__ = ["data_guard", "early_check", "folding", "gentle_finish", "patience"]
