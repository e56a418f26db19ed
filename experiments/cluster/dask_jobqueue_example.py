"""Simplify a network with jobs of a batch system as the workers, which Dask-jobqueue submits.

    pip install 'redy[dask]' dask-jobqueue
    python experiments/cluster/dask_jobqueue_example.py acas.onnx --domain acasxu --slices 32768 \
        --system slurm --jobs 100 --out acas.redy

The program itself must run where jobs can reach it, on a login node as a rule. Work begins with the
first job that starts, and a job that is ended costs only what it was at. `--system local` has
processes of this machine for jobs, to try it out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dask

import redy
from redy.formats.domains import read_domain
from redy.interrupts import handlers_kept

with handlers_kept():  # Dask-jobqueue takes Ctrl-C for itself, which redy stops cleanly for
    import dask_jobqueue
    from dask_jobqueue.local import LocalCluster

SYSTEMS = {
    "slurm": dask_jobqueue.SLURMCluster,
    "pbs": dask_jobqueue.PBSCluster,
    "lsf": dask_jobqueue.LSFCluster,
    "sge": dask_jobqueue.SGECluster,
    "local": LocalCluster,
}


def main() -> None:
    """Submit jobs, simplify, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--domain")
    parser.add_argument("--slices", type=int, required=True)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--system", choices=SYSTEMS, default="slurm")
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--walltime", default="01:00:00")
    asked = parser.parse_args()
    net = redy.load(asked.net)
    domain = None if asked.domain is None else read_domain(asked.domain, net.network.inputs)
    # redy finds the slice that kills workers itself, and tries the others again.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    job = {"cores": 1, "processes": 1, "memory": "2GB", "walltime": asked.walltime}
    if asked.system == "local":
        job.pop("walltime")
    with SYSTEMS[asked.system](**job) as cluster:
        cluster.scale(jobs=asked.jobs)
        bundle = redy.simplify(
            net,
            domain,
            slices=asked.slices,
            budget=asked.budget,
            backend="dask",
            scheduler=cluster.scheduler_address,
            store=f"{asked.out}.store",
        )
    bundle.save(asked.out)
    removed, failed = bundle.summary["removed_mean"], bundle.summary["slices_failed"]
    print(f"{removed:.2%} of the neurons removed; slices kept as they are: {failed or 'none'}")


if __name__ == "__main__":
    main()
