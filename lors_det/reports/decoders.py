"""Decoders in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lors_det.adamixer import Decoder, DecoderSpec
from lors_det.lors import LedgerEntry


def decoder_of(cfg: Config) -> Decoder:
    """The decoder that a config describes."""
    head = cfg.model.bbox_head
    return Decoder(head.num_classes, DecoderSpec(**head.decoder))


def print_decoders(configs: Mapping[str, Config]) -> None:
    """Print the decoder parameters of models side by side; the last one is what the others are compared with."""
    counts = {name: summarise(decoder_of(cfg).ledger()) for name, cfg in configs.items()}
    *_, reference = counts.values()
    table = Table(title="Decoder parameters")
    table.add_column("")
    for column in ("shared by stages", "private mixing", "other, per stage", "total", "against the last"):
        table.add_column(column, justify="right")
    for name, count in counts.items():
        values = [f"{count[key]:,}" for key in ("shared", "private_mixing", "per_stage", "total")]
        table.add_row(Text(name), *values, f"{count['total'] / reference['total']:.1%}")
    Console(width=110).print(table)


def summarise(entries: Sequence[LedgerEntry]) -> dict[str, int]:
    """Parameters of an AdaMixer decoder as {"shared", "private_mixing", "per_stage", "total"}.

    "private_mixing" is all mixing that belongs to one stage, its normalisation included; "per_stage" is
    everything that is not mixing.
    """
    shared = sum(entry.numel for entry in entries if entry.shared)
    mixing = sum(entry.numel for entry in entries if entry.component == "mixing" and not entry.shared)
    total = sum(entry.numel for entry in entries)
    return {"shared": shared, "private_mixing": mixing, "per_stage": total - shared - mixing, "total": total}
