"""Where a model computes."""

from __future__ import annotations

import torch

from lors_det.errors import InputError


def find_device(device: str | torch.device | None) -> torch.device:
    """The named device, or the GPU where there is one.

    Raises:
        InputError: if torch knows no such device, the machine lacks it, or it computes nothing, as "meta".
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise InputError(f'device {device!r} is none that torch knows; such as "cpu" or "cuda:0"') from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {device!r} is not there: torch sees {torch.cuda.device_count()} GPUs")
    try:
        torch.zeros(1, device=place).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # as a torch built without it raises
        first = str(error).partition("\n")[0]
        raise InputError(f"device {device!r} computes nothing here ({type(error).__name__}: {first})") from error
    return place
