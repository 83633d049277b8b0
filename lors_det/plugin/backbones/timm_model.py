"""Models of timm: built for pictures of any size, and weights under their names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import Tensor

from lors_det.errors import InputError

_KEY = "model.backbone"
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
"""What makes a model take pictures of any size: by architecture the first, the second, or nothing that could be set."""


def build_timm(
    model_name: str, options: Mapping[str, Any], *, with_classifier: bool = False, pretrained: bool = False
) -> Any:
    """A model of timm.

    Args:
        model_name: of ``timm.list_models()``; a tag after a dot chooses among its weights.
        options: of ``timm.create_model``; those of None are not passed.
        with_classifier: build the classifier too.
        pretrained: load the weights of timm's hub.

    Raises:
        InputError: if timm is not installed, has no such model, or the model does not take an option.
    """
    timm = _timm()
    if not isinstance(model_name, str) or not timm.is_model(model_name):
        near = ", ".join(get_close_matches(str(model_name).partition(".")[0], timm.list_models())) or "none"
        raise InputError(
            f"config key {_KEY}.model_name is {model_name!r}; similar names of timm {timm.__version__}: {near}"
        )
    given = {name: value for name, value in options.items() if value is not None}
    if not with_classifier:
        given["num_classes"] = 0
    for any_size in _ANY_SIZE:
        try:
            return timm.create_model(model_name, pretrained=pretrained, **any_size, **given)
        except TypeError as error:
            if any(name in str(error) for name in any_size):
                continue
            taken = next((name for name in given if name in str(error)), None)
            if taken is None:
                raise
            raise InputError(
                f"config key {_KEY}.{taken}: timm's {model_name} does not take it; leave it out"
            ) from error
        except RuntimeError as error:
            if "pretrained tag" not in str(error):
                raise
            tags = ", ".join(timm.list_pretrained(f"{model_name.partition('.')[0]}.*")) or "none"
            raise InputError(f"config key {_KEY}.model_name: {error} timm has {tags}") from error
    raise AssertionError("the last attempt sets nothing that could be refused")


def hub_state(model_name: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of timm's hub, by name; downloaded once.

    Raises:
        InputError: if they cannot be downloaded, or timm has none for this model.
    """
    try:
        return build_timm(model_name, options, pretrained=True).state_dict()
    except InputError:
        raise
    except Exception as error:  # whatever timm, its hub's client and that one's transport raise
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise InputError(
            f"config key {_KEY}.pretrained: timm's weights of {model_name} cannot be had ({type(error).__name__}: "
            f"{reason}). Without a network, download them elsewhere (.pth or .safetensors) and pass --cfg-options "
            f"{_KEY}.pretrained=False {_KEY}.init_cfg.type=Pretrained {_KEY}.init_cfg.checkpoint=/path/to/the/file"
        ) from error


def to_timm_names(state: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Weights under timm's names and in its shapes, from those of the authors.

    timm keeps a ``checkpoint_filter_fn`` beside an architecture whose authors' files it converts; it also resizes
    tables of positions.

    Args:
        state: weights as a file has them; they may already be timm's.
        model: of timm, whole.
    """
    convert: Callable[[dict[str, Tensor], Any], dict[str, Tensor]] | None = getattr(
        sys.modules[type(model).__module__], "checkpoint_filter_fn", None
    )
    return dict(convert(dict(state), model)) if convert else state


def depths_by_timm(model: Any) -> dict[str, int] | None:
    """Depth of each parameter by name, from 0, as timm groups them; None where timm has no groups for the model.

    What no group matches, such as a head, has the last.
    """
    from timm.models import group_parameters

    if not hasattr(model, "group_matcher"):
        return None
    return group_parameters(model, model.group_matcher(coarse=False), reverse=True)


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError(f"{_KEY}.type TimmBackbone needs timm: pip install timm") from error
    return timm
