"""Values of another kind than what reads them takes are refused by their key."""

from __future__ import annotations

import pytest
from references.tiny import LORS

from lors_det.errors import InputError
from lors_det.plugin.config.reading import read_config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"visualizer.vis_backends": ["dict(type='LocalVisBackend')"]},
            r"vis_backends\.0 is .*a dictionary with a type",
        ),
        ({"visualizer.vis_backends": "LocalVisBackend"}, "vis_backends is 'LocalVisBackend'; it must be a list"),
        ({"visualizer": "DetLocalVisualizer"}, "visualizer is 'DetLocalVisualizer'; it must be a dictionary"),
    ],
)
def test_trackers_are_dictionaries(options, words):
    with pytest.raises(InputError, match=words):
        read_config(LORS, options)
    assert read_config(LORS, {"visualizer.vis_backends": None}).visualizer.vis_backends is None
