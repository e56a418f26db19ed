#!/usr/bin/env bash
#SBATCH --job-name=redy
#SBATCH --array=1-100
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --output=%x.%A.%a.log
#
# One run as an array of jobs, each with a store of its own:
#
#     sbatch --array=1-100 experiments/cluster/slurm_array.sh 100 RUNS \
#         acas.onnx --domain acasxu --slices 32768
#     redy merge RUNS/run.* --out acas.redy          # when all jobs are done
#
# The first argument is the number of shards, the second a folder for the stores that all jobs see,
# the rest goes to redy simplify. A job that failed or ran out of time goes on from its store when it
# is submitted again, alone if need be: sbatch --array=17 ... 100 RUNS, and the rest as before.
#
# Where there is no Slurm, the same as processes of one machine:
#
#     for i in $(seq 8); do SLURM_ARRAY_TASK_ID=$i bash slurm_array.sh 8 RUNS acas.onnx ... & done; wait
#
# REDY is the command to run, redy by default.

set -euo pipefail

if (($# < 3)) || [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
    echo "usage: sbatch --array=1-SHARDS $0 SHARDS FOLDER NET [options of redy simplify]" >&2
    exit 2
fi
shards=$1 folder=$2
shift 2
read -ra redy <<<"${REDY:-redy}"
mkdir -p "$folder"
export OMP_NUM_THREADS=1
exec "${redy[@]}" simplify "$@" --shard "$SLURM_ARRAY_TASK_ID/$shards" \
    --jobs "${SLURM_CPUS_PER_TASK:-1}" --store "$folder/run.$SLURM_ARRAY_TASK_ID"
