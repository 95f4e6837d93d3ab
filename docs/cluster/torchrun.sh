#!/bin/bash
# One call on every node: NODES, NODE (0 on the first), PROCESSES (on each node), MAIN (host of the first), PORT.
# Everything behind the name of the recipe is its options: torchrun.sh cmc_lab --data s3://bucket/photos --out runs/photos
set -euo pipefail
recipe=$1; shift
exec torchrun --nnodes "$NODES" --node_rank "$NODE" --nproc_per_node "$PROCESSES" \
  --master_addr "$MAIN" --master_port "${PORT:-29500}" -m "multiview.recipes.$recipe" "$@"
