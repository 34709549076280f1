#!/usr/bin/env bash
# Test in several processes, on GPUs or CPUs, from any folder.
#
#   bash dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of test.py]
#
# Several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR, PORT.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: [PORT=29500] bash $0 CONFIG CHECKPOINT PROCESSES" \
        "[arguments of test.py]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH=$(dirname "$here")${PYTHONPATH:+:$PYTHONPATH} \
    exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$3" \
    "$here/test.py" "$1" "$2" --launcher pytorch "${@:4}"
