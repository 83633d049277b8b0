"""Configs of the installed package, by name: ``lors_det::shapes/...`` on the command line and in ``_base_``.

Configs, tools and the model index travel under ``lors_det/.mim``, mmdet's convention; in a checkout, links lead there.
"""

from __future__ import annotations

from mmengine.config.utils import MODULE2PACKAGE


def register() -> None:
    """Make the prefix known to mmengine: in ``_base_``, and for ``mmengine.hub.get_config``.

    mmengine has no place where a package could say so before it is imported: stock code that is to read such a config
    imports ``lors_det.plugin`` first. ``custom_imports`` come too late, for they are run when a config has been read.
    """
    # A module's name in place of the distribution's: mmengine joins a distribution's location and name to a folder,
    # which does not exist where the install is editable, but takes a module's folder from where Python finds it.
    MODULE2PACKAGE["lors_det"] = "lors_det.registry"
