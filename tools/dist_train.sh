#!/usr/bin/env bash
# Train with several processes: one for each GPU, or, on a machine without one, over gloo on its cores.
#   tools/dist_train.sh CONFIG PROCESSES [OPTION...]          options of lors-det train
# On several machines, the same command on each, with the address of the first:
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_train.sh CONFIG 8       on the first
#   NNODES=2 NODE_RANK=1 MASTER_ADDR=10.0.0.1 tools/dist_train.sh CONFIG 8       on the second
# MAX_RESTARTS=3: when a process dies, all are started again, up to so many times, and the run goes on with the last
# checkpoint of its work dir, from the first start on: name a new --work-dir for a new run.
# All machines see the same files. PORT: where they meet (29500); JOB_ID: where several jobs do. PYTHON: the interpreter.
set -euo pipefail
config=${1:?usage: dist_train.sh CONFIG PROCESSES [OPTION...]}
processes=${2:?usage: dist_train.sh CONFIG PROCESSES [OPTION...]}
shift 2
source "$(dirname "${BASH_SOURCE[0]}")/misc/torchrun.sh"
torchrun_here "$processes" "$here/train.py" "$config" --launcher pytorch "$@"
