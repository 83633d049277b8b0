"""The detector that the tests of inference share."""

from __future__ import annotations

import pytest

from lors_det.inference import Detector


@pytest.fixture(scope="session")
def detector(trained) -> Detector:
    """Keeps all that it finds."""
    return Detector.from_checkpoint(trained.checkpoint, score_threshold=0)
