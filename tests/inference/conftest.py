"""The model that the tests of inference share."""

from __future__ import annotations

import pytest
from references.trained import Trained, train_tiny

from lors_det.inference import Detector


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    return train_tiny(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def detector(trained) -> Detector:
    """Keeps all that it finds."""
    return Detector.from_checkpoint(trained.checkpoint, score_threshold=0)
