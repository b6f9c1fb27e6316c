#!/bin/bash
# Runs one task of a Slurm job that trains on several machines: sets TF_CONFIG to the job's machines, and trains.
#
#   srun --nodes=2 --ntasks-per-node=1 --kill-on-bad-exit=1 examples/slurm.sh --phase psnr --run_dir runs/cluster
#
# In a batch script, --requeue and --signal=TERM@120 make the job save a checkpoint before its time limit, and resume.
set -euo pipefail

workers=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk '{printf "%s\"%s:%d\"", (NR > 1 ? ", " : ""), $1, 12340 + NR}')
export TF_CONFIG="{\"cluster\": {\"worker\": [$workers]}, \"task\": {\"type\": \"worker\", \"index\": $SLURM_PROCID}}"
exec python train.py "$@"
