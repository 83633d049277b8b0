#!/usr/bin/env bash
# Two machines train together, a worker of the second is killed, and the run ends with the weights of one that was not.
#   trials/two_machines.sh [FOLDER]
# The machines are two network namespaces of this host with addresses of their own (needs root and ip); torchrun's
# rendezvous is on the first. Nothing of the network outside is touched.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(realpath "${1:-$(mktemp -d)}")
export PYTHON=${PYTHON:-$root/.venv/bin/python} OMP_NUM_THREADS=1 NNODES=2 MASTER_ADDR=10.77.0.1 PYTHONPATH=$root
config=$root/configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py

clean() { ip netns del lors1 2>/dev/null || true; ip netns del lors2 2>/dev/null || true; }
trap 'kill $(jobs -p) 2>/dev/null || true; clean' EXIT
clean
ip netns add lors1 && ip netns add lors2
ip link add lors1v netns lors1 type veth peer name lors2v netns lors2
for n in 1 2; do
  ip -n lors$n addr add 10.77.0.$n/24 dev lors${n}v
  ip -n lors$n link set lors${n}v up && ip -n lors$n link set lo up
done

mkdir -p "$folder" && cd "$folder"
[[ -d shapes ]] || "$PYTHON" -m lors_det make-shapes shapes --num-train 160 --num-val 16 --image-size 64 >/dev/null

# train WORK_DIR: on both machines, a process each
train() {
  local options=(--data shapes --epochs 3 --batch-size 4 --work-dir "$1" --cfg-options randomness.seed=0
    default_hooks.checkpoint.by_epoch=False default_hooks.checkpoint.interval=2 default_hooks.logger.interval=5)
  NODE_RANK=1 MAX_RESTARTS=3 ip netns exec lors2 "$root/tools/dist_train.sh" "$config" 1 "${options[@]}" >"$1.2.log" 2>&1 &
  NODE_RANK=0 MAX_RESTARTS=3 ip netns exec lors1 "$root/tools/dist_train.sh" "$config" 1 "${options[@]}" >"$1.1.log" 2>&1 &
}

rm -rf whole killed whole.?.log killed.?.log
train whole
wait
train killed
for _ in $(seq 600); do
  [[ -f killed/last_checkpoint ]] && grep -q iter_1 killed/last_checkpoint && break
  sleep 0.2
done
worker=
for pid in $(ip netns pids lors2); do
  if grep -qa -- --launcher "/proc/$pid/cmdline" && ! grep -qa torch.distributed.run "/proc/$pid/cmdline"; then
    worker=${worker:-$pid}
  fi
done
[[ -n $worker ]] || { echo "no worker of the second machine was found"; exit 1; }
echo "killing worker $worker of the second machine at $(cat killed/last_checkpoint)"
kill -KILL "$worker"
wait
grep -h -E "Signal 9|exitcode|restart|resumed epoch" killed.?.log killed/*/*.log | cut -c1-160 | sort -u | head -12
"$PYTHON" - <<'PY'
import torch
whole, killed = (torch.load(f"{run}/iter_60.pth", weights_only=True)["state_dict"] for run in ("whole", "killed"))
differ = [name for name in whole if not torch.equal(whole[name], killed[name])]
assert not differ, f"these weights differ: {differ}"
print(f"the weights of both runs are the same, {len(whole)} tensors to the bit")
PY
