#!/usr/bin/env bash
# Train through Slurm, from any folder.
#
#   bash slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of train.py]
#
# GPUS, GPUS_PER_NODE and CPUS_PER_TASK set the size of the job; SRUN_ARGS is
# split at spaces and passed to srun. SCRIPT=train_maskd.py runs that script of
# this folder instead of train.py.
# Tested with a stand-in for srun (tests/test_tools/test_scripts.py), not on a
# cluster.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: [GPUS=8] [SRUN_ARGS=...] bash $0 PARTITION JOB_NAME CONFIG" \
        "[WORK_DIR] [arguments of train.py]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
partition=$1 job_name=$2 config=$3
shift 3
# MMDetection's script takes a work dir here, MMSegmentation's does not.
work_dir=()
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    work_dir=(--work-dir "$1")
    shift
fi
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
read -ra srun_args <<<"${SRUN_ARGS:-}"
# An empty array is an unset variable to the bash 4.2 of older clusters.

PYTHONPATH=$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH} \
    exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$here/${SCRIPT:-train.py}" "$config" --launcher slurm \
    ${work_dir[@]+"${work_dir[@]}"} "$@"
