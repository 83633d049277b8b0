"""Where kernels start, and what is found out about them before: with stand-ins for the kernels and for GPUs."""

from __future__ import annotations

import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lors_det.ops import FeatureBank, adaptive_mix, dispatch, sample_3d

pytest.importorskip("triton", reason="Triton is not installed; kernels are not tested")
from triton.runtime import OutOfResources

from lors_det.ops.triton import mix, sample

MIX_KERNELS = {"mix_forward": 4, "mix_backward": 7, "mix_backward_out": 6, "mix_backward_hidden": 5}
"""How many tensors each takes."""
SAMPLE_KERNELS = ("sample_forward", "sample_backward")
NO_COMPILER = RuntimeError("Failed to find C compiler. Please specify via CC environment variable.")


class Kernel:
    """Instead of a jitted function: notes on which device it would be compiled and started."""

    def __init__(self, name: str, num_tensors: int, world: SimpleNamespace) -> None:
        self.__name__, self.world = name, world
        self.arg_names = [f"{number}_pointer" for number in range(num_tensors)]

    def __getitem__(self, grid: tuple[int, ...]):
        return lambda *arguments, **options: self.world.started.append((self.__name__, self.world.current[-1]))

    def warmup(self, *arguments, grid: tuple[int, ...], **options):
        self.world.tried.append((self.__name__, self.world.current[-1]))
        if self.__name__ in self.world.errors:
            raise self.world.errors[self.__name__]
        return SimpleNamespace(n_spills=self.world.spills.get(self.__name__, 0), _init_handles=lambda: None)


@pytest.fixture(scope="module")
def _absent_gpus() -> None:
    """Older torch ends the process where autograd meets the tensor of a GPU that is not there: asked in another one."""
    code = (
        "import torch\nfrom torch._subclasses.fake_tensor import FakeTensorMode\n"
        "with FakeTensorMode(): torch.empty(1, device='cuda:0', requires_grad=True) * 2"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"autograd of torch {torch.__version__} ends the process at tensors of a GPU that is not there")


@pytest.fixture
def world(_absent_gpus, monkeypatch):
    """Two GPUs that are not there, of which the second is the current one, and tensors of the first, without values."""
    world = SimpleNamespace(current=[1], started=[], tried=[], asked=[], errors={}, spills={})

    class Guard:
        def __init__(self, device) -> None:
            self.index = torch.device(device).index

        def __enter__(self) -> None:
            world.current.append(self.index)

        def __exit__(self, *_) -> None:
            world.current.pop()

    monkeypatch.setattr(torch.cuda, "device", Guard)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: world.asked.append(device) or (8, 6))
    monkeypatch.delenv("LORS_DET_KERNELS", raising=False)
    for name, num_tensors in MIX_KERNELS.items():
        monkeypatch.setattr(mix, name, Kernel(name, num_tensors, world))
    for name in SAMPLE_KERNELS:
        monkeypatch.setattr(sample, name, Kernel(name, 0, world))
    with FakeTensorMode():
        yield world
    for cached in (mix.plan, sample.obstacle, dispatch._tell_once, dispatch._obstacle_of_device):
        cached.cache_clear()


def mixing(requires_grad: bool = True, dtype: torch.dtype = torch.bfloat16) -> list[torch.Tensor]:
    shapes = (3, 4, 8), (3, 8, 8), (3, 5, 4)
    return [torch.empty(shape, device="cuda:0", dtype=dtype, requires_grad=requires_grad) for shape in shapes]


def sampling(requires_grad: bool = True) -> tuple[FeatureBank, torch.Tensor]:
    level = torch.empty(2, 8, 6, 6, device="cuda:0", requires_grad=requires_grad)
    return FeatureBank.from_levels([level], (4,)), torch.empty(2, 3, 2, 4, 3, device="cuda:0")


@pytest.mark.parametrize("split", [False, True])
def test_mix_starts_on_the_device_of_its_tensors(world, split):
    x, channel, spatial = mixing()
    out = mix.mix(x, channel, spatial, split=split)
    with torch.no_grad():
        kept = SimpleNamespace(saved_tensors=(x, channel, spatial), split=split, precision="ieee")
        mix.Mix.backward(kept, torch.empty_like(out))
    assert len(world.started) == (3 if split else 2)
    assert {device for _, device in world.started} == {0}


def test_sample_starts_on_the_device_of_its_tensors(world):
    bank, points = sampling()
    out = sample.sample(bank.rows, bank.table, points, bank.strides)
    sizes = sample.constants(2, 4, 4, (4,))
    with torch.no_grad():
        kept = SimpleNamespace(saved_tensors=(bank.rows, bank.table, points), sizes=sizes)
        sample.Sample.backward(kept, torch.empty_like(out))
    assert world.started == [("sample_forward", 0), ("sample_backward", 0)]


def test_device_and_both_directions_are_tried_once_before_the_first_start(world):
    for _ in range(2):
        adaptive_mix(*mixing())
        sample_3d(*sampling())
    names = ["mix_forward", "mix_backward", "sample_forward", "sample_backward"]
    assert world.tried == [(name, 0) for name in names]
    assert world.asked == [torch.device("cuda:0")]
    assert world.started == [("mix_forward", 0), ("sample_forward", 0)] * 2


def test_without_gradients_the_backward_pass_need_not_fit(world):
    world.errors = dict.fromkeys(["mix_backward", "mix_backward_out", "sample_backward"], NO_COMPILER)
    adaptive_mix(*mixing(requires_grad=False))
    with torch.no_grad():
        sample_3d(*sampling())
    assert world.started == [("mix_forward", 0), ("sample_forward", 0)]


@pytest.mark.parametrize("need", ["memory", "registers"])
def test_the_backward_pass_is_split_where_one_kernel_does_not_fit(world, need):
    if need == "memory":
        world.errors = {"mix_backward": OutOfResources(163840, 101376, "shared memory")}
    else:
        world.spills = {"mix_backward": 4}
    assert mix.plan_for(*mixing()) == (True, None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OutOfResources(163840, 101376, "shared memory"),
            "mix_backward_hidden needs 163840 bytes of shared memory for a program, and cuda:0 has 101376",
        ),
        (NO_COMPILER, "mix_backward_hidden cannot be compiled and loaded: RuntimeError: Failed to find C compiler"),
        (OSError(30, "Read-only file system"), r"mix_backward_hidden cannot be .* OSError: \[Errno 30\] Read-only"),
    ],
    ids=["memory", "compiler", "cache"],
)
def test_what_cannot_run_is_plain_torch_and_said_once(world, monkeypatch, error, words):
    world.errors = {"mix_backward": error, "mix_backward_hidden": error}
    with pytest.warns(UserWarning, match=f"adaptive_mix runs in plain torch: {words}"):
        assert adaptive_mix(*mixing()).shape == (3, 5, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adaptive_mix(*mixing())
    monkeypatch.setenv("LORS_DET_KERNELS", "require")
    with pytest.raises(RuntimeError, match=f"adaptive_mix is required .* but {words}"):
        adaptive_mix(*mixing())
    assert not world.started


@pytest.mark.parametrize("kernel", SAMPLE_KERNELS)
def test_sampling_that_spills_is_plain_torch(world, kernel):
    world.spills = {kernel: 12}
    with pytest.warns(UserWarning, match=f"{kernel} has too few registers on cuda:0 and would spill 12 of them"):
        assert sample_3d(*sampling()).shape == (2, 3, 2, 4, 4)
    assert not world.started


@pytest.mark.parametrize("headers", [False, True])
def test_a_compiler_that_fails_is_named_without_its_temporary_files(world, monkeypatch, tmp_path, headers):
    """Containers often have gcc and no headers of Python."""
    failed = subprocess.CalledProcessError(1, ["/usr/bin/gcc", "/tmp/tmp3k2/cuda_utils.c", "-O3"])
    world.errors = {"mix_forward": failed}
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    if headers:
        (tmp_path / "Python.h").touch()
    reason = (
        "failed with status 1"
        if headers
        else "finds no Python.h of this Python (install its headers, e.g. python3-dev)"
    )
    plan = mix.plan_for(*mixing())
    assert plan.obstacle == f"mix_forward cannot be compiled and loaded: /usr/bin/gcc {reason}"


def test_without_triton_the_remedy_is_named(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.warns(UserWarning, match=r"Triton cannot be imported: .* \(pip install triton\)"):
        adaptive_mix(*mixing())


def test_switched_off_nothing_is_compiled_or_said(world, monkeypatch):
    monkeypatch.setenv("LORS_DET_KERNELS", "off")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adaptive_mix(*mixing())
        sample_3d(*sampling())
    assert not world.tried
    assert not world.started


def test_deterministic_algorithms_refuse_atomic_sums_where_gradients_are_asked(world, monkeypatch):
    monkeypatch.setenv("LORS_DET_KERNELS", "require")
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    with pytest.raises(RuntimeError, match=r"sample_3d is required .* but torch\.use_deterministic_algorithms is on"):
        sample_3d(*sampling())
    sample_3d(*sampling(requires_grad=False))
    assert world.started == [("sample_forward", 0)]


def test_full_precision_names_its_remedy(world):
    with pytest.warns(UserWarning, match=r"TF32 is off \(torch.set_float32_matmul_precision\('high'\) allows it"):
        adaptive_mix(*mixing(dtype=torch.float32))
