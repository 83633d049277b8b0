"""A step whose numbers are not finite changes nothing, is named and kept, and ends a run or is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from references.loops import SpoilHook
from references.tiny import runner_of, tiny_config
from torch import nn

from lors_det.adamixer.matching import PredictionError
from lors_det.errors import InputError
from lors_det.plugin.loop import faulty_steps
from lors_det.plugin.loop.faults import check_gradients, checked_steps, replay


def run(data: Path, folder: Path, hook: Hook, **options: object) -> Runner:
    cfg = tiny_config(
        data, folder, **{"randomness.seed": 0, "train_cfg.max_epochs": 2, "train_cfg.val_interval": 2, **options}
    )
    runner = runner_of(cfg)
    runner.register_hook(hook)
    runner.train()
    return runner


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("weight", r"stage 1 predicts logits or boxes that are not finite for image 0 of the batch"),
        ("gradient", r"the gradients of bbox_head\.decoder\.stack\.stages\.1\.classify\.3\.weight are not finite"),
    ],
)
def test_a_run_stops_and_the_step_can_be_seen_again(data, tmp_path, what, words):
    with pytest.raises(
        InputError, match=rf'step 2 of epoch 1: {words}.* images of process 0: .*\.jpg and 4 more.*="skip"'
    ) as stopped:
        run(data, tmp_path, SpoilHook((2,), what))
    path = tmp_path / "not_finite/step_2_process_0.pth"
    assert "not_finite/step_2_process_0.pth" in str(stopped.value)
    kept = torch.load(path, weights_only=True)
    assert all(Path(sample["image"]).is_file() for sample in kept["samples"])
    if what == "weight":
        with pytest.raises(FloatingPointError, match=words):
            replay(path)
    else:  # whose cause, a hook of this test, is not in the model
        assert all(loss.isfinite().all() for loss in replay(path).values())


# schedules still count the steps of the checked optimiser, and accumulated ones are no fault
@pytest.mark.filterwarnings("error:Seems like", "error:Detected call")
@pytest.mark.parametrize("what", ["weight", "gradient"])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_run_goes_on_without_the_step(data, tmp_path, what, accumulated):
    options = {"train_cfg.when_not_finite": "skip", "optim_wrapper.accumulative_counts": accumulated}
    runner = run(data, tmp_path, SpoilHook((2,), what), **options)
    assert (runner.epoch, runner.iter) == (2, 4)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    said = next(tmp_path.rglob("*.log")).read_text()
    assert "step 2 of epoch 1" in said
    assert ("any of the last 2 steps may be the cause" in said) == (what == "gradient" and accumulated == 2)
    assert len(list(tmp_path.glob("not_finite/*"))) == 1


def test_the_images_of_a_fault_are_those_of_its_process(data, tmp_path, monkeypatch):
    monkeypatch.setattr(SpoilHook, "before_train_iter", _other_process)
    with pytest.raises(InputError, match=r"of the batch of rank 1; its images are in .*step_2_process_1\.pth; train"):
        run(data, tmp_path, SpoilHook((2,), "weight"))


def _other_process(hook: SpoilHook, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise PredictionError("of the batch of rank 1", 1)

    if runner.iter + 1 in hook.steps:
        runner.model.train_step = fail


def test_what_a_forward_pass_changes_is_put_back(data, tmp_path):
    """Statistics of batch norms, which would stay no number for good."""
    spoil = SpoilHook((2,), "weight")
    options = {"train_cfg.when_not_finite": "skip", "model.backbone.norm_eval": False}
    before_train_iter = spoil.before_train_iter

    def spoil_image(runner, batch_idx, data_batch=None) -> None:
        before_train_iter(runner)
        if runner.iter + 1 == 2:
            data_batch["inputs"] = [image.float().fill_(float("nan")) for image in data_batch["inputs"]]

    spoil.before_train_iter = spoil_image
    runner = run(data, tmp_path, spoil, **options)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


def test_steps_are_not_skipped_for_ever(data, tmp_path, monkeypatch):
    monkeypatch.setattr(faulty_steps, "MOST_SKIPPED", 2)
    with pytest.raises(InputError, match=r"step 3 .* 2 steps before it were skipped"):
        run(data, tmp_path, SpoilHook((1, 2, 3), "weight"), **{"train_cfg.when_not_finite": "skip"})


def test_another_word_is_refused(data, tmp_path):
    with pytest.raises(Exception, match=r'when_not_finite is \'go on\'; it must be "stop" or "skip"'):
        run(data, tmp_path, SpoilHook((), ""), **{"train_cfg.when_not_finite": "go on"})


def test_the_first_parameters_are_named():
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    check_gradients(model.named_parameters())  # none has a gradient
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 3e38)  # whose norm, finite or not, nobody could step on
    with pytest.raises(FloatingPointError, match=r"gradients of 0\.weight, 0\.bias, 1\.weight and of 5 others are"):
        check_gradients(model.named_parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    check_gradients(model.named_parameters())
    model[3].bias.grad[1] = float("nan")
    with pytest.raises(FloatingPointError, match=r"the gradients of 3\.bias are not finite"):
        check_gradients(model.named_parameters())


def test_mixed_precision_may_scale_down_but_not_to_nothing(monkeypatch):
    from mmengine.optim import AmpOptimWrapper

    model = nn.Linear(2, 2)
    wrapper = object.__new__(AmpOptimWrapper)
    wrapper._accumulative_counts = 1
    steps = []
    monkeypatch.setattr(AmpOptimWrapper, "step", lambda self, **kwargs: steps.append(1))

    class Scaler:
        scale = 1024.0

        def is_enabled(self) -> bool:
            return True

        def get_scale(self) -> float:
            return self.scale

    wrapper.loss_scaler, wrapper._scale_update_param, wrapper.cast_dtype = Scaler(), None, torch.float16
    model.weight.grad = torch.full((2, 2), float("inf"))  # the scaler skips it
    with checked_steps(wrapper, model):
        wrapper.step()
        Scaler.scale = 1e-4
        with pytest.raises(FloatingPointError, match=r"scaled by 0\.0001"):
            wrapper.step()
    assert len(steps) == 1
    assert "step" not in vars(wrapper)
    Scaler.scale = 1024.0  # which a scale that does not change, and numbers of float32's range, cannot answer for
    for name, value in (("_scale_update_param", 1024.0), ("cast_dtype", torch.bfloat16)):
        with monkeypatch.context() as other:
            other.setattr(wrapper, name, value)
            with checked_steps(wrapper, model), pytest.raises(FloatingPointError, match="the gradients of weight are"):
                wrapper.step()
    assert len(steps) == 1
