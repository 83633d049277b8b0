"""Configs as the commands use them: read, checked, and completed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from lors_det.data.record import DataFolder
from lors_det.errors import InputError
from lors_det.named_files import resolve_config_path
from lors_det.plugin.config.chosen import choose
from lors_det.plugin.config.data import check_evaluators, fill_classes
from lors_det.plugin.config.keys import check_keys
from lors_det.plugin.config.kinds import check_types
from lors_det.plugin.config.names import check_options, drop_unread_names
from lors_det.plugin.config.own_data import set_again, use_folder
from lors_det.plugin.config.schedules import check_multipliers
from lors_det.plugin.config.values import check_kinds, check_numbers, complete_workers

SAFE_HOOKS = {
    "num_classes": dict(type="NumClassCheckHook"),
    "plain_checkpoint": dict(type="PlainCheckpointHook"),
    "checkpoint_guard": dict(type="CheckpointGuardHook"),
    "data_guard": dict(type="DataGuardHook"),
    "folding": dict(type="FoldingHook"),
}
"""Hooks of every run; in ``default_hooks`` and not in ``custom_hooks``, a list that a config replaces whole."""


def load_config(
    source: str | Path | Config,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | None = None,
    *,
    data: DataFolder | None = None,
    data_notes: str = "data",
    image_side: int | None = None,
    before: Config | None = None,
    processes: int = 1,
    say: Callable[[str], object] = lambda words: None,
) -> Config:
    """Read a config for a Runner.

    A model whose ``num_classes`` is None gets the classes of the annotation file, and so do all its datasets. Values
    that the config leaves to the data, None, are chosen. The hooks that make a run safe are there whatever it says.

    Args:
        source: a file, the name of a packaged one, or what was read from one or came with a checkpoint.
        cfg_options: values by key with dots, in place of the config's.
        work_dir: folder of the run; by default ``work_dirs/<path of the config under configs/>``, and in it one of the
            data's name where ``data`` is given.
        data: a folder that replaces the config's data; annotations that it does not have as COCO files are written
            into the work dir's folder ``data_notes``.
        data_notes: its name; a test has another than the training whose work dir it is in.
        image_side: pixels, in place of the side that would be chosen.
        before: the config of a run that is resumed: what it chose is kept.
        processes: of the training, each of which takes a part of the batch that is chosen.
        say: is told each thing that was chosen from the data, in words.

    Raises:
        InputError: if the file does not exist, is not a config, contradicts itself or sets what nothing reads, or its
            data cannot be read.
    """
    cfg = read_config(source, cfg_options)
    cfg.work_dir = work_dir_of(cfg, work_dir, data)
    check_splits(cfg)
    if cfg.get("custom_hooks"):  # one is turned off by None, as mmengine's default hooks are
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook is not None]
    add_safe_hooks(cfg)
    if data is not None:
        use_folder(cfg, data, Path(cfg.work_dir, data_notes))
        set_again(cfg, cfg_options or {})
    fill_classes(cfg)
    for words in choose(cfg, image_side, before=before, processes=processes):
        say(words)
    check_evaluators(cfg)
    return cfg


def read_config(source: str | Path | Config, cfg_options: dict[str, Any] | None = None) -> Config:
    """A config as it is written, with overridden values.

    Raises:
        InputError: if the file does not exist, is not a config, or describes no model.
    """
    options = cfg_options or {}
    name = source.filename if isinstance(source, Config) else source
    cfg = source if isinstance(source, Config) else _of_file(source)
    if "model" not in cfg:
        raise InputError(f"config {name} describes no model")
    init_default_scope(cfg.get("default_scope", "mmdet"))  # names in the config are mmdet's from here on
    if not isinstance(source, Config):
        drop_unread_names(cfg, resolve_config_path(source))
    check_options(cfg, options)
    check_kinds(cfg, options)
    # merging keeps parts of them in the config, where they would be changed, and takes _delete_ out
    options = {key: _copied(value) for key, value in options.items() if not _turns_off(cfg, key, value)}
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"--cfg-options do not fit config {name}: {type(error).__name__}: {error}") from error
    _check_listed(cfg)
    check_types(cfg)
    check_keys(cfg)
    check_numbers(cfg)
    check_multipliers(cfg)
    complete_workers(cfg)
    return cfg


def _of_file(path: str | Path) -> Config:
    file = resolve_config_path(path)
    try:
        with warnings.catch_warnings():
            # of mmengine's own search for the packages that a config's bases are in
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")
            return Config.fromfile(file)
    except Exception as error:  # whatever the file's code raises
        reason = (str(error).strip() or "it says no more").splitlines()[0]
        raise InputError(f"config {path} cannot be read: {type(error).__name__}: {reason}") from error


def _copied(value: Any) -> Any:
    """With containers of its own; what is in them stays."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if type(value) is list else value


def _check_listed(cfg: Config) -> None:
    """Refuse hooks and schedules that nothing can be built of."""
    for name in ("custom_hooks", "param_scheduler"):
        listed = cfg.get(name)
        for number, each in enumerate(listed if isinstance(listed, (list, tuple)) else ()):
            if each is not None and (not isinstance(each, Mapping) or "type" not in each):
                raise InputError(f"config key {name}.{number} is {each!r}; it must be a dictionary with a type")


def _turns_off(cfg: Config, key: str, value: Any) -> bool:
    """Take a hook out of its list's place, ``custom_hooks.0=None``; mmengine sets no entry of a list to None."""
    name, _, number = key.partition(".")
    hooks = cfg.get(name)
    if name != "custom_hooks" or value is not None or not number.isdecimal() or int(number) >= len(hooks or ()):
        return False
    hooks[int(number)] = None
    return True


def work_dir_of(cfg: Config, work_dir: str | None, data: DataFolder | None) -> str:
    """The folder of a run: as it is given, as the config has it, or of the config's and the data's names."""
    default = f"work_dirs/{config_name(Path(cfg.filename))}" + (f"/{data.called}" if data else "")
    return work_dir or cfg.get("work_dir") or default


def config_name(path: Path) -> str:
    """A config's path under ``configs/`` without ".py", such as ablations/shapes/r8; outside of it, the file's stem."""
    *folders, _ = path.resolve().parts
    depth = folders[::-1].index("configs") if "configs" in folders else 0
    return PurePath(*folders[len(folders) - depth :], path.stem).as_posix()


def check_splits(cfg: Config) -> None:
    """Refuse a split of which something is missing: Runner wants all of it, or nothing."""
    parts = {
        "train": ("train_dataloader", "train_cfg", "optim_wrapper"),
        "val": ("val_dataloader", "val_cfg", "val_evaluator"),
        "test": ("test_dataloader", "test_cfg", "test_evaluator"),
    }
    for split, keys in parts.items():
        missing = [key for key in keys if not cfg.get(key)]
        if missing and len(missing) < len(keys):
            there = [key for key in keys if key not in missing]
            raise InputError(
                f"config keys {', '.join(missing)} are not set, and {', '.join(there)} are; "
                f"set all three of {split}, or none of them (None)"
            )


def add_safe_hooks(cfg: Config) -> None:
    """Put the hooks that make a run safe into ``default_hooks``, where a config lacks them."""
    hooks, own = cfg.setdefault("default_hooks", ConfigDict()), cfg.get("custom_hooks") or ()
    if not isinstance(hooks, dict):
        raise InputError(f"config key default_hooks is {hooks!r}; it must be a dictionary of hooks")
    if not isinstance(own, (list, tuple)) or not all(hook is None or isinstance(hook, dict) for hook in own):
        raise InputError(f"config key custom_hooks is {own!r}; it must be a list of dictionaries")
    present = [hook.get("type") for hook in (*hooks.values(), *own) if hook]
    for name, hook in SAFE_HOOKS.items():
        if hook["type"] not in present:
            while hooks.get(name) is not None:  # a hook of the user's, by chance of that name
                name += "_"
            hooks[name] = ConfigDict(hook)
