"""The AdaMixer decoder, with or without LORS. Knows torch, ``ops`` and ``lors``."""

from lors_det.adamixer.decoder import Decoder
from lors_det.adamixer.queries import InitialQueries, QuerySets, QueryState
from lors_det.adamixer.spec import DecoderSpec
from lors_det.adamixer.stage import Stage, StageOutput

__all__ = ["Decoder", "DecoderSpec", "InitialQueries", "QuerySets", "QueryState", "Stage", "StageOutput"]
