#!/usr/bin/env bash
# Train in several processes, on GPUs or CPUs, from any folder.
#
#   bash dist_train.sh CONFIG PROCESSES [arguments of train.py]
#
# Several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR, PORT.
# SCRIPT=train_maskd.py runs that script of this folder instead of train.py.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: [PORT=29500] [SCRIPT=train.py] bash $0 CONFIG PROCESSES [arguments of train.py]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH=$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH} \
    exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$here/${SCRIPT:-train.py}" "$1" --launcher pytorch "${@:3}"
