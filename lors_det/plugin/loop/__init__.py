"""A training loop that can stop anywhere and go on as if it had not; importing this registers it."""

from lors_det.plugin.loop import train_loop

__all__ = ["train_loop"]
