"""The learning rate stays for the first third of the epochs, and falls as a cosine in the other two."""

_base_ = "lors_grid.py"

param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], "begin": 10}]
