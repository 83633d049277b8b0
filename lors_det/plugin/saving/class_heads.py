"""Class heads of a checkpoint for other classes: what has the same name is kept, the rest is made anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence

from torch import Tensor

from lors_det.data.words import counted, listed
from lors_det.errors import InputError

_ROWS = re.compile(r".*\bclassify\.3\.(weight|bias)|.*\bselection\.classify\.(weight|bias)|.*\bdenoising\.content")
"""Classification heads of stages and of the selection of queries, and the contents of denoising queries: what has one
row for each class."""


def adapt_class_heads(
    weights: MutableMapping[str, Tensor],
    model: Mapping[str, Tensor],
    trained: Sequence[str] | None,
    classes: Sequence[str],
) -> str | None:
    """Replace the class heads of a checkpoint by such for a model's classes.

    A class of the same name keeps its row, wherever it stood; the other rows are the model's own, as initialised.
    Where a checkpoint does not tell its classes, heads of the same number are kept, and others made anew.

    Args:
        weights: of the checkpoint, by name; changed in place.
        model: the model's, by name.
        trained: classes of the checkpoint, where it tells them.
        classes: of the model.

    Returns:
        What was done, in words; None where the classes are the same, or there is no class head.

    Raises:
        InputError: if a head has another number of rows than the checkpoint tells classes.
    """
    heads = [name for name in weights if _ROWS.fullmatch(name) and name in model]
    heads = [name for name in heads if weights[name].shape[1:] == model[name].shape[1:]]
    if not heads or (trained is not None and tuple(trained) == tuple(classes)):
        return None
    for name in heads:
        if trained is not None and len(weights[name]) != len(trained):
            raise InputError(
                f"the checkpoint tells {counted(len(trained), 'class')} ({listed(trained)}), and its {name} has "
                f"{len(weights[name])} rows; correct meta.dataset_meta.classes, or take it out"
            )
    if trained is None and all(weights[name].shape == model[name].shape for name in heads):
        return f"the checkpoint does not tell its classes; its heads are taken for {listed(classes)}"
    kept = [name for name in classes if name in (trained or ())]
    for head in heads:
        rows = model[head].detach().clone()
        for name in kept:
            rows[classes.index(name)] = weights[head][list(trained or ()).index(name)].to(rows)
        weights[head] = rows
    anew = [name for name in classes if name not in kept]
    parts = [f"{listed(kept)} keep{'s' * (len(kept) == 1)} what the checkpoint has learned"] if kept else []
    parts += [f"{listed(anew)} start{'s' * (len(anew) == 1)} anew"] if anew else []
    return f"class heads: {'; '.join(parts)}"
