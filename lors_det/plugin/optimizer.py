"""Parameter groups of the optimiser: one for each distinct setting, not one for each parameter."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn
from torch.optim import Optimizer

from lors_det.errors import InputError
from lors_det.plugin.layer_decay import layer_scales
from lors_det.plugin.sharing_rates import Scale, sharing_scales

_MULTIPLIERS = ("lr_mult", "decay_mult")
"""What mmengine leaves in a group of its custom keys; their effect stands in ``lr`` and ``weight_decay``."""

_PER_GROUP = ("base_values", "_last_value", "min_values")
"""Values of a schedule's state of which there is one for each group."""


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with parameters of equal settings in one group, and learning rates by layer.

    ``paramwise_cfg`` takes two keys more, which multiply whatever the others give: ``layer_decay``, learning rates of
    the backbone that fall towards the picture, see :func:`lors_det.plugin.layer_decay.layer_scales`; and ``sharing``,
    those of weights that stages share, see :func:`lors_det.plugin.sharing_rates.sharing_scales`.

    Wherever ``paramwise_cfg`` is set, mmengine makes a group of every parameter. The updates are the same, but fused
    and multi-tensor optimisers work group by group, and schedules walk over all of them in every step.

    It subclasses because mmengine's own construction calls the method that lists the groups, and offers no other
    place between that list and the optimiser.
    """

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", is_dcn_module: bool | None = None
    ) -> None:
        """Append the groups of a module to ``params``, as mmengine has it; the whole model's are merged."""
        if not prefix:
            check_custom_keys(module, self.paramwise_cfg)
        super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # mmengine calls it again for every module inside
            params[:] = self._scaled(params, module)
            defaults = {name: value for name, value in self.optimizer_cfg.items() if name != "type"}
            params[:] = merge_groups(params, defaults)

    def _scaled(self, groups: list[dict[str, Any]], model: nn.Module) -> list[dict[str, Any]]:
        """Groups of one parameter each, with the settings of its layer or of its part in sharing."""
        decay, sharing = (self.paramwise_cfg.get(key) for key in ("layer_decay", "sharing"))
        key = "layer_decay" if decay is not None else "sharing"
        if decay is None and sharing is None:
            return groups
        if self.base_lr is None:
            raise InputError(f"config key optim_wrapper.paramwise_cfg.{key} needs optim_wrapper.optimizer.lr")
        scales: dict[str, Scale] = {}
        if decay is not None:
            by_layer = layer_scales(model, decay)
            scales.update((name, Scale(scale, 1.0)) for name, scale in by_layer.items())
            values = sorted(by_layer.values())
            print_log(
                f"layer_decay={decay} multiplies learning rates of the backbone by {values[0]:.3g} at its first layer "
                f"to {values[-1]:.3g} at its last",
                logger="current",
            )
        if sharing is not None:
            of_sharing = sharing_scales(model, sharing)
            if self.base_wd is None and any(scale.weight_decay != 1 for scale in of_sharing.values()):
                raise InputError(
                    "config key optim_wrapper.paramwise_cfg.sharing.residual_decay needs optim_wrapper.optimizer."
                    "weight_decay"
                )
            scales.update(of_sharing)
            rates = {
                part: sorted({f"{scale.lr:.3g}" for name, scale in of_sharing.items() if f".{part}." in name})
                for part in ("bases", "residuals")
            }
            words = ", ".join(f"of {part} by {', '.join(values)}" for part, values in rates.items() if values)
            print_log(f"sharing multiplies learning rates {words}", logger="current")
        by_parameter = {id(parameter): name for name, parameter in model.named_parameters()}
        own = {"lr": self.base_lr, "weight_decay": self.base_wd}
        return [_scale_group(group, own, scales.get(by_parameter[id(group["params"][0])])) for group in groups]


def check_custom_keys(model: nn.Module, paramwise_cfg: Mapping[str, Any] | None) -> None:
    """Refuse custom keys that are part of no parameter's name: mmengine would pass them over.

    Raises:
        InputError: it names the keys, and a parameter of nearly such a name.
    """
    names = [name for name, _ in model.named_parameters()]
    for key in (paramwise_cfg or {}).get("custom_keys") or {}:
        if not any(key in name for name in names):
            last = key.rpartition(".")[2]
            like = next((name for name in names if last in name), names[-1] if names else "none at all")
            raise InputError(
                f"config key optim_wrapper.paramwise_cfg.custom_keys has {key!r}, which is part of no parameter's name "
                f"and would do nothing; a parameter's name is such as {like}"
            )


def _scale_group(group: Mapping[str, Any], defaults: Mapping[str, Any], scale: Scale | None) -> dict[str, Any]:
    """A group with multiplied settings, those that are to be multiplied by 1 as they are."""
    factors = scale._asdict() if scale is not None else {}
    changed = {key: factor for key, factor in factors.items() if factor != 1 and (key in group or defaults[key])}
    return {**group, **{key: group.get(key, defaults[key]) * factor for key, factor in changed.items()}}


def merge_groups(groups: Iterable[Mapping[str, Any]], defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One group for each distinct setting, in the order in which the settings first appear.

    Args:
        groups: torch's parameter groups, ``params`` and settings.
        defaults: what a group gets that does not say otherwise: a group that says the same is no other one.

    Returns:
        Groups in which parameters keep their order; one that came twice with equal settings is there once. One that
        came with different settings is in two groups, which torch refuses.
    """
    merged: list[dict[str, Any]] = []
    effective: list[dict[str, Any]] = []
    for group in groups:
        own = _settings(group)
        setting = {**defaults, **own}
        if setting not in effective:
            effective.append(setting)
            merged.append({"params": [], **own})
        merged[effective.index(setting)]["params"].extend(group["params"])
    for group in merged:
        group["params"] = list({id(parameter): parameter for parameter in group["params"]}.values())
    return merged


def merge_saved_groups(
    checkpoint: Mapping[str, Any], optimizer: Optimizer, parameters: Iterable[nn.Parameter]
) -> dict[str, Any]:
    """The training state of a checkpoint with one group for each parameter, as an optimiser of merged groups takes it.

    Settings on which the parameters of a group agree come from the checkpoint, as all do when torch loads a state;
    where they differ, because the config has changed since, the config's hold.

    Args:
        checkpoint: what mmengine saved; it stays as it is.
        optimizer: the optimiser that is to go on.
        parameters: of the whole model in its order, ``model.parameters()``; it is the order of the saved groups.

    Returns:
        What replaces the checkpoint's ``optimizer`` and ``param_schedulers``; nothing where its groups are not those
        of single parameters, or are as many as the optimiser's. Whether they fit, torch finds out.

    Raises:
        InputError: if parameters of one group had different learning rates, or other values that a schedule changes:
            no one value goes on from them.
        ValueError: if ``parameters`` lacks one of the optimiser's.
    """
    saved = checkpoint["optimizer"]["param_groups"]
    groups = optimizer.param_groups
    optimised = {id(parameter) for group in groups for parameter in group["params"]}
    single = all(len(group["params"]) == 1 for group in saved)
    if not single or len(saved) == len(groups) or len(saved) != len(optimised):
        return {}
    order = [id(parameter) for parameter in parameters if id(parameter) in optimised]
    place = {parameter: index for index, parameter in enumerate(dict.fromkeys(order))}
    if len(place) < len(optimised):
        raise ValueError(
            f"{len(optimised) - len(place)} of the optimiser's {len(optimised)} parameters are not among "
            "`parameters`; give those of the whole model"
        )
    members = [[place[id(parameter)] for parameter in group["params"]] for group in groups]
    state = dict(checkpoint["optimizer"])
    state["param_groups"] = [
        {
            **_common_settings([saved[index] for index in indices], group),
            "params": [saved[index]["params"][0] for index in indices],
        }
        for indices, group in zip(members, groups)
    ]
    if len(groups) == 1:  # mmengine tracks a base setting beside several groups only
        state.pop("base_param_settings", None)
    merged: dict[str, Any] = {"optimizer": state}
    schedules = checkpoint.get("param_schedulers")
    if isinstance(schedules, list):
        merged["param_schedulers"] = [_merge_schedule(schedule, members, len(saved)) for schedule in schedules]
    return merged


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("params", *_MULTIPLIERS)}


def _common_settings(saved: Sequence[Mapping[str, Any]], current: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of saved groups that become one; ``current`` is the optimiser's."""
    settings = [_settings(group) for group in saved]
    common = {}
    for name in dict.fromkeys(name for setting in settings for name in setting):
        values = [setting.get(name) for setting in settings]
        if all(value == values[0] for value in values):
            common[name] = values[0]
        elif name.startswith("initial_") or any(f"initial_{name}" in setting for setting in settings):
            raise _differing(name, values)
        elif name in current:
            common[name] = current[name]
            others = sum(value != current[name] for value in values)
            print_log(
                f"the checkpoint has another {name} for {others} of {len(values)} parameters than the config, "
                f"whose {name}={current[name]} holds from here on",
                logger="current",
                level=logging.WARNING,
            )
    return common


def _merge_schedule(schedule: Mapping[str, Any], members: Sequence[Sequence[int]], num_saved: int) -> dict[str, Any]:
    merged = dict(schedule)
    for name in _PER_GROUP:
        values = schedule.get(name)
        if not isinstance(values, (list, tuple)) or len(values) < num_saved:
            continue
        by_group = [[values[index] for index in indices] for indices in members]
        for of_group in by_group:
            if any(value != of_group[0] for value in of_group):
                raise _differing(f"{name} of the schedule of {schedule.get('param_name', 'a setting')}", of_group)
        base = values[num_saved:] if len(members) > 1 else []
        merged[name] = [of_group[0] for of_group in by_group] + list(base)
    return merged


def _differing(name: str, values: Sequence[Any]) -> InputError:
    found = ", ".join(dict.fromkeys(str(value) for value in values))
    return InputError(
        f"parameters that share a group have different values of {name} in the checkpoint: {found}; "
        "resume with the optim_wrapper.paramwise_cfg that it was trained with"
    )
