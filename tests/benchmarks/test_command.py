"""The command, on a small decoder and small images."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks import case as case_module
from benchmarks import cases as module
from benchmarks import command, models
from benchmarks.case import Candidate, Case, both_ways
from benchmarks.cases import FLIPS, cases
from lors_det.cli import run_command
from lors_det.errors import InputError
from lors_det.ops import FeatureBank, sample_3d

SMALL = ("--pairs", "1x3", "--rounds", "2")
KINDS = ("inference", "both ways")
NAMES = [f"{what} {kind}, B=1 Q=3" for what in ("mixing", "sampling", "decoder") for kind in KINDS]


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    monkeypatch.setattr(module, "IMAGE_PX", (160, 256))
    monkeypatch.setattr(module, "STAGE", 1)
    monkeypatch.setattr(models, "LORS", replace(models.LORS, share=(0, 0), adaptive_groups=(1, 3), static_groups=None))


def found(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict]:
    run_command(command, [*SMALL, *words, "--json"])
    return json.loads(capsys.readouterr().out)["cases"]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    """(stdout, the one line on stderr) of a command that ends with status 2."""
    with pytest.raises(SystemExit) as stopped:
        run_command(command, list(words))
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return out, err


def scaled(bank: FeatureBank, points: Tensor) -> Tensor:
    """A sampler that errs by a thousandth."""
    return sample_3d(bank, points) * 1.001


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-4), ("bfloat16", 0.2), ("float16", 0.2)])
def test_every_case_runs_in_every_precision(capsys, dtype, rounding):
    results = found(capsys, "--dtype", dtype)
    assert list(results) == NAMES
    for name, result in results.items():
        ours, baseline = result["errors"]
        assert ours < rounding, name
        assert baseline < rounding, name
        assert result["rounds"] == 2


def test_inference_is_measured_folded_in_its_precision_and_training_is_not():
    made = models.Models(torch.device("cpu"), torch.bfloat16)
    kept = made.folded.stack.weights(1)
    assert {weight.dtype for weight in kept.values()} == {torch.bfloat16}
    assert all(weight is made.folded.stack.weights(1)[name] for name, weight in kept.items())
    trained = made.decoder.stack.weights(1)
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    assert all(weight.requires_grad for weight in trained.values())
    for name, weight in trained.items():
        assert torch.equal(kept[name], weight.detach().to(torch.bfloat16)), name


def test_the_precision_reaches_sampling(capsys):
    low = found(capsys, "--dtype", "bfloat16", "--only", "sampling")
    full = found(capsys, "--only", "sampling")
    for name in full:
        assert max(full[name]["errors"]) < 1e-6, name
        assert min(low[name]["errors"]) > 1e-4, name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_samplers_are_given_the_same(dtype):
    case = cases(torch.device("cpu"), dtype, [(1, 3)])["sampling both ways, B=1 Q=3"]()
    levels, points, bank = case.inputs()
    for level, packed in zip(levels, bank.levels(), strict=True):
        assert torch.equal(level, packed)
        assert torch.equal(level, level.to(dtype).float())  # features of that precision
    assert points.dtype == torch.float32
    (ours, *_), (baseline, *_) = case.ours.run(levels, points, bank), case.baseline.run(levels, points, bank)
    assert ours.dtype == baseline.dtype == dtype


def test_saved_bytes_of_sampling_leave_out_the_features(capsys):
    """What both keep is of the size of the points; a map of the first level alone is larger."""
    saved = found(capsys, "--only", "sampling both ways")["sampling both ways, B=1 Q=3"]["saved_bytes"]
    points = 3 * 2 * 64 * (16 * (8 + 4) + 128 * 4 * 4 + 64 * 4)  # a generous count of what is made for each
    assert 0 < saved[0] < points
    assert 0 < saved[1] < points
    assert points < 256 * 40 * 64 * 4


def test_errors_are_of_their_case_and_candidate(capsys, monkeypatch):
    monkeypatch.setattr(module, "sample_3d", scaled)
    monkeypatch.setattr(case_module, "SLACK", 1e9)
    for result in found(capsys, "--only", "sampling").values():
        ours, baseline = result["errors"]
        assert ours == pytest.approx(1e-3, rel=1e-2)
        assert baseline < 1e-6
    for result in found(capsys, "--only", "mixing inference").values():
        assert max(result["errors"]) < 1e-5


def test_a_flipped_relu_is_no_fault_where_gradients_pass_relus():
    x = torch.randn(100_000)
    x[0] = 1e-9

    def relu(shift: float) -> Candidate:
        return Candidate(both_ways(lambda t: [(t + shift).relu()], lambda t: [t]))

    case = Case(relu(-2e-9), relu(0.0), relu(0.0), lambda: (x.clone(),))
    ours, baseline = case.examine().errors
    assert baseline < 1e-6
    assert 1e-3 < ours < 1e-2  # one gradient of 50,000
    assert ours > max(case.examine().allowed)
    lenient = replace(case, flips=(1e-2, 1e-2)).examine()
    assert ours < min(lenient.allowed)
    assert ours < lenient.allowed_mean


def test_one_wrong_result_of_many_is_not_timed():
    """Their mean would hide it."""

    def same(*tensors: Tensor) -> list[Tensor]:
        return list(tensors)

    def wrong(*tensors: Tensor) -> list[Tensor]:
        return [*tensors[:-1], tensors[-1] * 1.05]

    tensors = tuple(torch.randn(100, 5))
    case = Case(Candidate(wrong), Candidate(same), Candidate(same), lambda: tensors, flips=(1e-2, 2e-3))
    examined = case.examine()
    assert examined.errors[0] < examined.allowed_mean
    with pytest.raises(InputError, match=r"many: our error in result 100 of 100 is 5.0e-02, the baseline's 0.0e\+00"):
        command._checked("many", examined, torch.float32)


def test_a_small_fault_of_all_results_is_no_flip():
    tensors = tuple(torch.randn(100, 5))
    ours, same = (Candidate(lambda *t, scale=scale: [each * scale for each in t]) for scale in (1.005, 1.0))
    examined = Case(ours, same, same, lambda: tensors, flips=FLIPS).examine()
    with pytest.raises(InputError, match=r"all: our mean error is 5.0e-03, the baseline's 0.0e\+00; not timed"):
        command._checked("all", examined, torch.float32)


def test_a_wrong_gradient_of_mixing_is_not_timed(capsys, monkeypatch):
    def call(mixing: torch.nn.Module, weights: dict[str, Tensor], args: tuple[Tensor, Tensor]) -> Tensor:
        sampled, content = args
        return torch.func.functional_call(mixing, weights, (sampled * 1.1 - sampled.detach() * 0.1, content))

    monkeypatch.setattr(module, "functional_call", call)
    _, error = refusal(capsys, *SMALL, "--only", "mixing both ways")
    assert "mixing both ways, B=1 Q=3: our error in result 2 of" in error


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("factor", [1.5, float("nan")])
def test_what_is_wrong_is_not_timed(capsys, monkeypatch, dtype, factor):
    monkeypatch.setattr(module, "sample_3d", lambda bank, points: sample_3d(bank, points) * factor)
    out, error = refusal(capsys, *SMALL, "--only", "sampling", "--dtype", dtype)
    assert "sampling inference, B=1 Q=3: our error in result 1 of 1 is" in error
    assert "sampling" not in out


def test_a_wrong_gradient_is_not_timed(capsys, monkeypatch):
    """The result is right; the cases before keep their rows."""
    monkeypatch.setattr(module, "sample_3d", lambda bank, points: sample_3d(bank, points * 0.5 + points.detach() * 0.5))
    out, error = refusal(capsys, *SMALL, "--only", "sampling")
    assert "sampling both ways, B=1 Q=3: our error in result 2 of 6 is" in error
    assert "sampling inference, B=1 Q=3" in out


class Screen(io.StringIO):
    """What a user has seen: what was written before the last flush."""

    seen = ""

    def flush(self) -> None:
        self.seen = self.getvalue()


def test_a_row_is_seen_when_its_case_is_done(monkeypatch):
    screen, seen = Screen(), []
    measure = Case.measure

    def spied(self: Case, *args: object) -> object:
        seen.append(screen.seen)
        return measure(self, *args)

    monkeypatch.setattr(Case, "measure", spied)
    monkeypatch.setattr(sys, "stdout", screen)
    run_command(command, [*SMALL, "--only", "sampling"])
    names = ["sampling inference, B=1 Q=3", "sampling both ways, B=1 Q=3"]
    assert [[name in text for name in names] for text in (*seen, screen.seen)] == [
        [False, False],
        [True, False],
        [True, True],
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--pairs", "1x100", "3"], "--pairs takes images x queries, for example 1x100 2x300, and not 3"),
        (["--pairs", "0x100"], "not 0x100"),
        (["--pairs", "1x-2"], "not 1x-2"),
        (["--only", "attention"], "--only 'attention' is in no case's name; there are: mixing inference, B=1 Q=100;"),
        (["--rounds", "0"], "--rounds is 0; it must be positive"),
        (["--seconds", "-1"], "--seconds is -1.0; it must be positive"),
        (["--threads", "0"], "--threads is 0; it must be positive"),
        (["--device", "tpu"], "--device is tpu; it must be cpu or cuda"),
        (["--device", "cpu:x"], "device 'cpu:x' is none that torch knows"),
        (["--device", "cuda"], "--device cuda needs a GPU, and torch sees none"),
    ],
)
def test_wrong_arguments_end_with_a_line(capsys, monkeypatch, words, named):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert named in refusal(capsys, *words)[1]
