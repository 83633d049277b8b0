#!/usr/bin/env bash
# Train on a Slurm cluster, a task for each GPU; a job that is requeued resumes by itself.
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTION...]          options of lors-det train
# Environment: GPUS (8), GPUS_PER_NODE (the lesser of GPUS and 8), CPUS_PER_TASK (5), SRUN_ARGS (split at blanks), PYTHON,
# MASTER_PORT (where they meet; of each job its own).
set -euo pipefail
usage="usage: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTION...]"
partition=${1:?$usage} job=${2:?$usage} config=${3:?$usage} work_dir=${4:?$usage}
shift 4
source "$(dirname "${BASH_SOURCE[0]}")/misc/srun.sh"
srun_here "$partition" "$job" "$here/train.py" "$config" --work-dir "$work_dir" --resume --launcher slurm "$@"
