"""Where mmengine looks up the names of a config whose base is ``lors_det::...``; nothing else imports this.

mmengine marks the dicts of such a base with the scope lors_det, and builds them from the registries of that scope.
Those here hold nothing: what a registry lacks is looked up in its parent, and theirs are mmdet's, into which the plugin
registers.
"""

from __future__ import annotations

import lors_det.plugin  # noqa: F401 - it registers, and mmdet imports only after it
from mmdet import registry as mmdet_registry
from mmengine.registry import Registry

MMDET_PARTS = ["mmdet.engine", "mmdet.datasets", "mmdet.models", "mmdet.evaluation", "mmdet.visualization"]
"""What mmdet's registries import at a first look-up by themselves, but not at one that came from a child."""

REGISTRIES = {
    name: Registry(parent.name, parent=parent, scope="lors_det", locations=MMDET_PARTS)
    for name, parent in vars(mmdet_registry).items()
    if isinstance(parent, Registry) and parent.scope == "mmdet"
}
"""By the names of mmdet's."""
