#!/usr/bin/env bash
# Evaluate a checkpoint on a Slurm cluster; see slurm_train.sh for the environment.
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTION...]          options of lors-det test
set -euo pipefail
usage="usage: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTION...]"
partition=${1:?$usage} job=${2:?$usage} config=${3:?$usage} checkpoint=${4:?$usage}
shift 4
source "$(dirname "${BASH_SOURCE[0]}")/misc/srun.sh"
srun_here "$partition" "$job" "$here/test.py" "$config" "$checkpoint" --launcher slurm "$@"
