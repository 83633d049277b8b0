"""Scripts that start several processes, and the commands of the cluster files, on this machine without a GPU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from references.tiny import make_data, write_config

ROOT = Path(__file__).parent.parent.parent
TOOLS, CLUSTER = ROOT / "tools", ROOT / "docs/cluster"
ONE_EPOCH = {"train_cfg.max_epochs": 1, "train_dataloader.batch_size": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a config, its data, and a stand-in for Slurm; its name has a space, which scripts must bear."""
    folder = tmp_path_factory.mktemp("launch") / "a folder"
    folder.mkdir()
    write_config(folder / "tiny.py", make_data(folder / "shapes"), **ONE_EPOCH)
    stand_in = folder / "bin"
    stand_in.mkdir()
    srun = (
        '#!/usr/bin/env bash\nwhile [[ $1 == -* ]]; do echo "srun $1" >&2; [[ $1 == *=* ]] && shift || shift 2; done\n'
    )
    (stand_in / "srun").write_text(srun + 'SLURM_NODEID=0 exec "$@"\n')
    (stand_in / "scontrol").write_text("#!/usr/bin/env bash\necho 127.0.0.1\n")
    (stand_in / "torchrun").write_text('#!/usr/bin/env bash\nexec "$PYTHON" -m torch.distributed.run "$@"\n')
    for file in stand_in.iterdir():
        file.chmod(0o755)
    return folder


def run(folder: Path, *command: object, **variables: str) -> str:
    """Run a command without a GPU; returns what it said."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "PYTHON": sys.executable}
    env |= {"PATH": f"{folder / 'bin'}:{env['PATH']}", **variables}
    done = subprocess.run(
        [str(word) for word in command], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def world_of(work_dir: Path) -> tuple[int, int]:
    """(processes, epochs) of the run's last checkpoint."""
    meta = torch.load((work_dir / "last_checkpoint").read_text(), weights_only=True)["meta"]
    return meta["world_size"], meta["epoch"]


def metrics(work_dir: Path) -> dict[str, float]:
    """What the one evaluation in it wrote."""
    (file,) = work_dir.glob("*/*.json")
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def trained(folder) -> Path:
    work_dir = folder / "work dir"
    said = run(folder, TOOLS / "dist_train.sh", folder / "tiny.py", 2, "--work-dir", work_dir)
    assert "batch 8 (4 on each of 2)" in said
    assert said.count(" validated  AP ") == 1, "the first process alone speaks"
    return work_dir


def test_two_processes_train_and_evaluate(folder, trained):
    assert world_of(trained) == (2, 1)
    place = folder / "tested"
    run(folder, TOOLS / "dist_test.sh", folder / "tiny.py", trained / "epoch_1.pth", 2, "--work-dir", place)
    assert "coco/bbox_mAP" in metrics(place)


def test_a_run_is_not_resumed_by_another_number_of_processes(folder, trained):
    flags = ["--work-dir", trained, "--epochs", "2", "--resume"]
    with pytest.raises(AssertionError) as refused:
        run(folder, sys.executable, TOOLS / "train.py", folder / "tiny.py", *flags)
    assert "processes: 2 then, 1 now" in str(refused.value)
    assert "--resume-anyway" in str(refused.value)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh", "slurm_train.sh", "slurm_test.sh"])
def test_a_script_without_arguments_says_what_it_takes(script):
    done = subprocess.run([str(TOOLS / script)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"usage: {script}" in done.stderr


@pytest.mark.parametrize("processes", ["--work-dir", "0", "many"])
def test_a_number_of_processes_is_one(folder, processes):
    with pytest.raises(AssertionError, match=f"PROCESSES is '{processes}'; it must be a number"):
        run(folder, TOOLS / "dist_train.sh", folder / "tiny.py", processes, "x")


def test_a_port_that_is_taken_is_named(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        machines = {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "PORT": port}
        with pytest.raises(AssertionError, match=f"port {port} of this machine is taken"):
            run(folder, TOOLS / "dist_train.sh", folder / "tiny.py", 2, **machines)


def test_slurm_is_asked_for_no_gpu_without_a_task(folder, tmp_path):
    (tmp_path / "srun").write_text('#!/usr/bin/env bash\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    told = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GPUS": "4", "GPUS_PER_NODE": "8"}
    words = run(folder, TOOLS / "slurm_train.sh", "gpu", "job", "c.py", "w", **told).split()
    assert [words[words.index(name) + 1] for name in ("--gres", "--ntasks", "--ntasks-per-node")] == ["gpu:4", "4", "4"]
    with pytest.raises(AssertionError, match="GPUS or GPUS_PER_NODE is 'many'"):
        run(folder, TOOLS / "slurm_train.sh", "gpu", "job", "c.py", "w", GPUS="many")


def test_several_machines_meet_at_the_first(folder):
    """By the words that torchrun is given, which no interpreter runs here."""
    command = [TOOLS / "dist_train.sh", "config.py", 8, "--resume"]
    variables = {"PYTHON": "echo", "NNODES": "2", "NODE_RANK": "1", "PORT": "29700", "JOB_ID": "7", "MAX_RESTARTS": "3"}
    words = run(folder, *command, MASTER_ADDR="127.0.0.1", **variables).split()
    assert words[:2] == ["-m", "torch.distributed.run"]
    given = dict(zip(words[2:-5:2], words[3:-5:2]))
    assert given.pop("--local-addr", "127.0.0.1") == "127.0.0.1"
    assert given == {
        "--nnodes": "2",
        "--rdzv-backend": "c10d",
        "--rdzv-id": "7",
        "--rdzv-endpoint": "127.0.0.1:29700",
        "--rdzv-conf": "is_host=false",
        "--nproc-per-node": "8",
        "--max-restarts": "3",
    }
    assert words[-5:] == [str(TOOLS / "train.py"), "config.py", "--launcher", "pytorch", "--resume"]
    with pytest.raises(AssertionError, match="with NNODES, give the address of the first machine"):
        run(folder, *command, **variables)


@pytest.mark.parametrize(
    ("address", "way", "own", "interface"),
    [
        ("10.1.2.3", "10.1.2.3 dev ib0 src 10.1.2.9 uid 0", "10.1.2.9", "ib0"),
        (
            "127.0.1.1",
            "local 127.0.1.1 dev lo src 127.0.1.1 uid 0",
            None,
            "",
        ),  # the first machine's own name, on Debian
    ],
)
def test_the_way_to_a_machine_by_name(tmp_path, address, way, own, interface):
    """As Slurm has them; ``ip`` itself takes addresses alone."""
    (tmp_path / "getent").write_text(f'#!/usr/bin/env bash\n[[ $2 == node-1 ]] && echo "{address} STREAM node-1"\n')
    (tmp_path / "ip").write_text(f'#!/usr/bin/env bash\n[[ $4 == {address} ]] && echo "{way}"\n')
    (tmp_path / "python").write_text('#!/usr/bin/env bash\necho "$@"; echo "interface $NCCL_SOCKET_IFNAME"\n')
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    told = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "node-1", "PYTHON": str(tmp_path / "python")}
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "NCCL_SOCKET_IFNAME": "", **told}
    done = subprocess.run([TOOLS / "dist_train.sh", "c.py", "8"], env=env, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    assert words[words.index("--rdzv-endpoint") + 1] == "node-1:29500"
    assert (words[words.index("--local-addr") + 1] if "--local-addr" in words else None) == own
    assert done.stdout.splitlines()[-1].removeprefix("interface").strip() == interface


def test_jobs_of_slurm_do_not_meet_each_other(tmp_path):
    """Where their first machine is the same: each has a port of its own, unless one is given."""
    (tmp_path / "srun").write_text('#!/usr/bin/env bash\necho "$MASTER_PORT"\n')
    (tmp_path / "srun").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [TOOLS / "slurm_train.sh", "gpu", "job", "c.py", "w"]
    ports = {int(subprocess.check_output(command, env=env)) for _ in range(8)}
    assert len(ports) > 1
    assert all(20_000 <= port < 32_768 for port in ports)  # below those that systems give away
    assert int(subprocess.check_output(command, env={**env, "MASTER_PORT": "29500"})) == 29500


def test_slurm_scripts_give_srun_the_command(folder, trained):
    """Of which a stand-in runs one task; ``none`` said last takes the place of Slurm's launcher."""
    alone = ["--launcher", "none"]
    said = run(
        folder,
        *(TOOLS / "slurm_train.sh", "gpu", "a job", folder / "tiny.py", folder / "slurm", *alone),
        GPUS="16",
        SRUN_ARGS="--exclusive=user",
    )
    assert world_of(folder / "slurm") == (1, 1)
    for option in ("--partition", "--gres", "--ntasks", "--ntasks-per-node", "--exclusive=user"):
        assert f"srun {option}" in said
    checkpoint = folder / "slurm/epoch_1.pth"
    place = ["--work-dir", folder / "slurm tested"]
    run(folder, TOOLS / "slurm_test.sh", "gpu", "job", folder / "tiny.py", checkpoint, *place, *alone)
    assert "coco/bbox_mAP" in metrics(folder / "slurm tested")


def free_port() -> str:
    """A port of this machine that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


def cluster_command(name: str) -> tuple[list[str], dict[str, str]]:
    """The command of a file under docs/cluster, and the variables that its cluster sets, for one machine."""
    if name == "slurm.sbatch":
        slurm = {"SLURM_NNODES": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "here", "PROCESSES": "2"}
        return ["bash", str(CLUSTER / name)], slurm
    content = yaml.safe_load((CLUSTER / name).read_text())
    if name == "skypilot.yaml":
        sky = {"SKYPILOT_NUM_NODES": "1", "SKYPILOT_NODE_RANK": "0", "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.2"}
        return ["bash", "-c", content["run"]], {**sky, "SKYPILOT_NUM_GPUS_PER_NODE": "2"}
    trainer = content["spec"]["trainer"]
    assert content["spec"]["runtimeRef"]["name"] == "torch-distributed"
    assert trainer["numProcPerNode"] == trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"]
    meeting = {"PET_NNODES": "1", "PET_NPROC_PER_NODE": "2", "PET_NODE_RANK": "0"}
    return trainer["command"], {**meeting, "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": free_port()}


@pytest.mark.parametrize("name", sorted(path.name for path in CLUSTER.iterdir()))
def test_commands_of_cluster_files_train(folder, name):
    command, variables = cluster_command(name)
    work_dir = folder / f"cluster {name}"
    config = folder / "tiny.py"
    run(folder, *command, CONFIG=str(config), WORK_DIR=str(work_dir), DATA=str(folder), **variables)
    assert world_of(work_dir) == (2, 1)
    if name == "slurm.sbatch":  # they share one flag
        said = run(folder, *command, CONFIG=str(config), WORK_DIR=str(work_dir), DATA=str(folder), **variables)
        assert "nothing is left to train" in said, "a job that is started again goes on"


@pytest.mark.parametrize("name", ["skypilot.yaml", "trainjob.yaml", "slurm.sbatch"])
def test_configs_of_cluster_files_are_there(name):
    text = (CLUSTER / name).read_text()
    (config,) = {word.strip('"}').split(":-")[-1] for word in text.split() if word.strip('"}').endswith("_coco.py")}
    assert (ROOT / "configs" / config.removeprefix("lors_det::").removeprefix("configs/")).is_file()
