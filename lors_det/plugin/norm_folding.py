"""``efficient_conv_bn_eval`` of a config: modules whose convolutions take the batch norms that follow them along."""

from __future__ import annotations

from functools import partial
from inspect import signature
from typing import Any

from mmcv.cnn.bricks.wrappers import Conv2d, Conv3d
from mmengine.model.efficient_conv_bn_eval import efficient_conv_bn_eval_control
from mmengine.runner import runner
from torch import fx, nn

from lors_det.errors import InputError
from lors_det.plugin.named_modules import named_modules

KEY = "efficient_conv_bn_eval"

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, Conv2d, Conv3d)  # the last two are mmcv's, the same but by name
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def register() -> None:
    """Let mmengine's runner take the function below for its own."""
    runner.turn_on_efficient_conv_bn_eval = turn_on_efficient_conv_bn_eval


def turn_on_efficient_conv_bn_eval(model: nn.Module, modules: str | list[str]) -> None:
    """Multiply batch norms into the convolutions before them, in place of mmengine's function of this name.

    A norm that keeps its statistics is an affine map of each channel, so that with s = gamma / sqrt(var + eps),
    norm(conv(x, W)) = conv(x, s W) + beta - s mean: the same, but for rounding, also of the gradients of W, gamma and
    beta. What the convolution gives is not kept for the norm's backward pass, and no pass over it is made (You et al.,
    Efficient ConvBN blocks, ICLR 2024). Norms that learn their statistics compute as ever, and so do all in validation
    that is called in the same way.

    mmengine's function writes down a module's computation as it is in training, and takes norms and convolutions of
    other kinds for torch's: those that have an activation inside, or pad their input, would lose it.

    Args:
        model: the detector.
        modules: names in it, such as "backbone".

    Raises:
        InputError: if there is no such module, it has no such pair whose norm keeps its statistics, or torch.fx cannot
            write down what it computes.
    """
    for name, module in named_modules(modules, model, KEY).items():
        forward = _folded(module, name, model).forward
        before = vars(module).get("forward")  # of activation checkpointing, which the runner turns on first
        module.forward = partial(before.func, module, forward) if isinstance(before, partial) else forward


def check_efficient_conv_bn_eval(
    modules: str | list[str] | None, model: Any, *, recomputed: str | list[str] | None
) -> None:
    """Refuse, before anything is trained, what :func:`turn_on_efficient_conv_bn_eval` could not do.

    Args:
        modules: names.
        model: the detector.
        recomputed: names of ``activation_checkpointing``, which would have no effect inside of these.
    """
    inside = [recomputed] if isinstance(recomputed, str) else recomputed or ()
    named = named_modules(modules, model, KEY)
    for name, module in named.items():
        if part := next((other for other in named if other.startswith(f"{name}.")), None):
            raise InputError(f"config key {KEY} names {name}, and {part} inside of it; drop {part}")
        _folded(module, name, model)
        if part := next((other for other in inside if other.startswith(f"{name}.")), None):
            raise InputError(
                f"config keys {KEY} and activation_checkpointing name {name} and {part} inside of it; "
                f"name {name} in both"
            )


class _Tracer(fx.Tracer):
    """Goes into modules that have norms inside; others, such as dropout, are called as they are, in either mode."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _NORMS) or not any(isinstance(part, _NORMS) for part in m.modules())


def _defaults(module: nn.Module) -> dict[str, Any]:
    """Arguments that a call may leave out, as this one is written down; what is called otherwise raises."""
    given = signature(type(module).forward).parameters.values()
    kinds = (type(None), bool, int, float, str)
    return {each.name: each.default for each in given if isinstance(each.default, kinds)}


def _folded(module: nn.Module, name: str, model: nn.Module) -> fx.GraphModule:
    """What a module of a model computes, with the norms that may be multiplied into convolutions."""
    modes = {part: part.training for part in model.modules()}
    parts, graphs = dict(module.named_modules()), []
    try:
        for training in (False, True):
            model.train(training)  # the whole, for it is a backbone that keeps its norms still
            graphs.append(_Tracer().trace(module, _defaults(module)))
        keep_still = {key for key, part in parts.items() if isinstance(part, _NORMS) and not part.training}
    except Exception as error:  # of any code that takes its input for a tensor
        raise InputError(
            f"config key {KEY} names {name}, of which torch.fx cannot write down what it computes "
            f"({type(error).__name__}: {error}); name a part of it, or drop it"
        ) from error
    finally:
        for part, mode in modes.items():
            part.training = mode
    after, graph = graphs
    traced = fx.GraphModule(module, graph)
    if traced.code != fx.GraphModule(module, after).code:
        raise InputError(f"config key {KEY} names {name}, which takes another way in training than after; drop it")
    folded = {str(norm.target) for norm in list(graph.nodes) if _fold(graph, norm, parts)}
    if not folded & keep_still:
        raise InputError(
            f"config key {KEY} names {name}, in which no BatchNorm that keeps its statistics in training follows a "
            "convolution; drop it, or let them keep theirs (norm_eval=True of a backbone)"
        )
    traced.recompile()
    return traced


def _fold(graph: fx.Graph, norm: fx.Node, parts: dict[str, nn.Module]) -> bool:
    """Let one call compute a norm and the convolution before it; whether both are that, and torch's own."""
    if not _calls(norm, _NORMS, parts) or parts[str(norm.target)].running_var is None:
        return False
    if len(norm.args) != 1 or norm.kwargs:
        return False
    (convolution,) = norm.args
    if not (isinstance(convolution, fx.Node) and _calls(convolution, _CONVOLUTIONS, parts)):
        return False
    if len(convolution.users) > 1 or len(convolution.args) != 1 or convolution.kwargs:
        return False
    called = (parts[str(node.target)] for node in (norm, convolution))
    if any(part._forward_hooks or part._forward_pre_hooks for part in called):  # such as weight_norm's
        return False
    with graph.inserting_before(norm):
        pair = [graph.get_attr(str(node.target)) for node in (norm, convolution)]
        both = graph.call_function(efficient_conv_bn_eval_control, (*pair, *convolution.args))
    norm.replace_all_uses_with(both)
    graph.erase_node(norm)
    graph.erase_node(convolution)
    return True


def _calls(node: fx.Node, kinds: tuple[type[nn.Module], ...], parts: dict[str, nn.Module]) -> bool:
    """Whether a node calls a module of one of these classes, not of one that is derived from them."""
    return node.op == "call_module" and type(parts[str(node.target)]) in kinds
