"""LORS: stages share weights, which each of them corrects by small residuals. Knows torch only."""

from lors_det.lors.adaptive import AdaptiveResidual, adaptive
from lors_det.lors.ledger import LedgerEntry, ledger
from lors_det.lors.residual import MakeResidual, Residual
from lors_det.lors.share import checked_share
from lors_det.lors.stack import SharedStack
from lors_det.lors.stage import SharedStage
from lors_det.lors.static import StaticResidual, static

__all__ = [
    "AdaptiveResidual",
    "LedgerEntry",
    "MakeResidual",
    "Residual",
    "SharedStack",
    "SharedStage",
    "StaticResidual",
    "adaptive",
    "checked_share",
    "ledger",
    "static",
]
