"""LORS residuals: how a stage corrects weights that it shares. Knows torch only."""

from lors_det.lors.accounting import LedgerEntry, ledger, summarise
from lors_det.lors.adaptive import AdaptiveResidual
from lors_det.lors.static import StaticResidual, corrected, linear

__all__ = ["AdaptiveResidual", "LedgerEntry", "StaticResidual", "corrected", "ledger", "linear", "summarise"]
