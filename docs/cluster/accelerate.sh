#!/bin/bash
# One call on every node, with the variables of torchrun.sh. Accelerate counts the processes of all nodes together.
set -euo pipefail
recipe=$1; shift
exec accelerate launch --multi_gpu --num_machines "$NODES" --machine_rank "$NODE" \
  --num_processes "$((NODES * PROCESSES))" --main_process_ip "$MAIN" --main_process_port "${PORT:-29500}" \
  --rdzv_backend static --mixed_precision no --dynamo_backend no -m "multiview.recipes.$recipe" "$@"
