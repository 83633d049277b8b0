# Sourced by dist_train.sh and dist_test.sh.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# torchrun_here PROCESSES SCRIPT [ARGUMENT...]: start a script on this machine's share of the processes.
torchrun_here() {
  local processes=$1
  shift
  if [[ ! $processes =~ ^([1-9][0-9]*|auto|cpu|gpu)$ ]]; then
    echo "error: PROCESSES is '$processes'; it must be a number from 1 on, as in: $(basename "$0") CONFIG ... 8" >&2
    exit 2
  fi
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
  export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}
  local meeting=(--standalone)
  if [[ ${NNODES:-1} != 1 ]]; then
    : "${MASTER_ADDR:?with NNODES, give the address of the first machine}"
    : "${NODE_RANK:?with NNODES, give the number of this machine, 0 for the first}"
    # the way to the first machine: by this address the others find this one (torchrun would tell them its name), and
    # through this interface gloo and NCCL speak
    local first way own interface
    first=$(getent ahostsv4 "$MASTER_ADDR" 2>/dev/null | awk 'NR == 1 {print $1}' || true)  # ip takes no names
    way=$(ip -o route get "${first:-$MASTER_ADDR}" 2>/dev/null || true)
    own=$(sed -n 's/.* src \([^ ]*\).*/\1/p' <<<"$way")
    interface=$(sed -n 's/.* dev \([^ ]*\).*/\1/p' <<<"$way")
    if [[ -n $interface && $interface != lo ]]; then
      export GLOO_SOCKET_IFNAME=${GLOO_SOCKET_IFNAME:-$interface} NCCL_SOCKET_IFNAME=${NCCL_SOCKET_IFNAME:-$interface}
    elif [[ $MASTER_ADDR != 127.* ]]; then
      own=""  # the first machine's own name may be one of the loopback, where no other finds it
    fi
    if [[ $NODE_RANK == 0 ]] && (: <>"/dev/tcp/127.0.0.1/${PORT:-29500}") 2>/dev/null; then
      echo "error: port ${PORT:-29500} of this machine is taken; name another one on all machines, PORT=..." >&2
      exit 2
    fi
    meeting=(
      --nnodes "$NNODES" --rdzv-backend c10d --rdzv-id "${JOB_ID:-lors_det}"
      --rdzv-endpoint "$MASTER_ADDR:${PORT:-29500}"
      --rdzv-conf "is_host=$([[ $NODE_RANK == 0 ]] && echo true || echo false)"
      ${own:+--local-addr "$own"}
    )
  fi
  exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" \
    --nproc-per-node "$processes" --max-restarts "${MAX_RESTARTS:-0}" "$@"
}
