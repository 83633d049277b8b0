#!/usr/bin/env bash
# Evaluate a checkpoint with several processes; see dist_train.sh for machines and variables.
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTION...]          options of lors-det test
set -euo pipefail
config=${1:?usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTION...]}
checkpoint=${2:?usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTION...]}
processes=${3:?usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTION...]}
shift 3
source "$(dirname "${BASH_SOURCE[0]}")/misc/torchrun.sh"
torchrun_here "$processes" "$here/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
