# Sourced by slurm_train.sh and slurm_test.sh.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# srun_here PARTITION JOB SCRIPT [ARGUMENT...]: run a script as a task for each GPU.
srun_here() {
  local partition=$1 job=$2 gpus=${GPUS:-8}
  shift 2
  local each=${GPUS_PER_NODE:-8} more=() name
  for name in gpus each; do
    if [[ ! ${!name} =~ ^[1-9][0-9]*$ ]]; then
      echo "error: GPUS or GPUS_PER_NODE is '${!name}'; it must be a number from 1 on" >&2
      exit 2
    fi
  done
  each=$((gpus < each ? gpus : each))
  # two jobs whose first machine is the same one must not meet each other
  export MASTER_PORT=${MASTER_PORT:-$((20000 + RANDOM % 12000))}
  read -ra more <<<"${SRUN_ARGS:-}"
  exec srun --partition "$partition" --job-name "$job" --gres "gpu:$each" --ntasks "$gpus" \
    --ntasks-per-node "$each" --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${more[@]+"${more[@]}"} "${PYTHON:-python}" -u "$@"
}
