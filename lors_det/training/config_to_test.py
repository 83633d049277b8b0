"""The config by which a checkpoint is evaluated, where none is named."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from lors_det.errors import InputError
from lors_det.plugin.saving.stored_config import parse_config
from lors_det.plugin.saving.stored_types import check_scope, check_stored_types


def config_to_test(checkpoint: str | Path, carried: Config | None, *, trust: bool = False) -> str | Config:
    """The one that the training left beside the checkpoint; else the one that the checkpoint carries.

    A file beside it is taken where it is data alone, as a training writes it, and there is no other of the kind: no
    code that happens to lie there is run. Of a carried one, whose run was elsewhere, the work dir is not taken over.

    Args:
        checkpoint: its file.
        carried: the config that it carries.
        trust: import what the carried config's ``custom_imports`` names, and build types that it names.

    Returns:
        The path of a file, or a config that is called as the checkpoint.

    Raises:
        InputError: if there is neither, or the carried one names a type that nobody registers or a foreign scope.
    """
    beside = _beside(Path(checkpoint))
    if len(beside) == 1:
        return str(beside[0])
    if carried is None:
        found = (
            f"{len(beside)} configs, {', '.join(path.name for path in beside)}" if beside else "no config of a training"
        )
        raise InputError(
            f"checkpoint {checkpoint} carries no config, and its folder holds {found}; name it: test CONFIG CHECKPOINT"
        )
    values = carried.to_dict()
    values.pop("work_dir", None)
    imports = values.pop("custom_imports", None)
    if trust:
        import_modules_from_strings(**(imports or {"imports": []}))
    else:
        where = f"the config in checkpoint {checkpoint}"
        check_scope(values.get("default_scope") or "mmdet", f"{where}: default_scope")
        check_stored_types(values, where)
    name = f"{Path(checkpoint).stem}.py"
    return Config(values, cfg_text=f"# carried by {Path(checkpoint).name}\n", filename=name)


def _beside(checkpoint: Path) -> list[Path]:
    """What trainings left in its folder."""
    files = sorted(checkpoint.parent.glob("*.py"))
    tests = {path.with_name(f"{path.stem}_test.py") for path in files}  # what a test left
    return [path for path in files if path not in tests and _is_of_training(path)]


def _is_of_training(path: Path) -> bool:
    try:
        return "model" in parse_config(path.read_text(encoding="utf-8"), str(path))
    except (InputError, OSError, UnicodeDecodeError):
        return False
