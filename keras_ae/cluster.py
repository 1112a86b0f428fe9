"""Which processes train together, as `TF_CONFIG` says it; without TensorFlow."""

import contextlib
import dataclasses
import json
import os
import re
import socket

from keras_ae.errors import BadRequest

EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
_ADDRESS = re.compile(r"[\w.-]+:\d{1,5}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that TF_CONFIG names, the chief first, and which of them this process is.

    Attributes:
        jobs: Addresses `HOST:PORT` by the name of their job: `worker`, and `chief` if there is one.
        job: The job of this process.
        task: Its number in this job.
    """

    jobs: dict[str, list[str]]
    job: str | None
    task: int | None

    @property
    def addresses(self) -> list[str]:
        """The addresses of all workers; the first is that of the chief."""
        return [*self.jobs.get("chief", ()), *self.jobs.get("worker", ())]

    @property
    def index(self) -> int:
        """The number of this process among all workers; 0 is the chief."""
        return self.addresses.index(self.jobs[self.job][self.task])


def read() -> Cluster | None:
    """Returns what TF_CONFIG says, or nothing where it is not set.

    Raises:
        BadRequest: If it is something else, or names another than one chief.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        content = json.loads(text)
        jobs, task = content.get("cluster", {}), content.get("task", {})
        cluster = Cluster(jobs, task.get("type"), task.get("index"))
        fault = _fault(jobs, cluster.addresses)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        fault = str(error)
    if fault:
        raise _refused(fault)
    return cluster if jobs else None


def _refused(fault: str) -> BadRequest:
    return BadRequest(
        f"expected JSON of a cluster in TF_CONFIG, received {os.environ['TF_CONFIG']!r} "
        f"({fault}); an example: {EXAMPLE}"
    )


def _fault(jobs: dict, addresses: list) -> str | None:
    if set(jobs) - {"chief", "worker"}:
        return f"jobs other than chief and worker: {', '.join(jobs)}"
    if len(jobs.get("chief", ())) > 1:
        return f"{len(jobs['chief'])} chiefs"
    for address in addresses:
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            return f"no HOST:PORT: {address!r}"
    return "an address twice" if len(set(addresses)) < len(addresses) else None


def of_workers() -> Cluster:
    """Returns what TF_CONFIG says, if this process can be the worker that it is there.

    Raises:
        BadRequest: If TF_CONFIG is missing or malformed, or the port is in use. So is that of a
            second process which takes itself for the same worker of the same machine.
    """
    cluster = read()
    if cluster is None:
        raise BadRequest(
            f"`strategy` multiworker: expected TF_CONFIG, received none; an example: {EXAMPLE}"
        )
    if type(cluster.task) is not int or cluster.task not in range(
        len(cluster.jobs.get(cluster.job, ()))
    ):
        raise _refused(f"no such task: type {cluster.job!r}, index {cluster.task!r}")
    address = cluster.addresses[cluster.index]
    port = int(address.rpartition(":")[2])
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadRequest(
                f"expected the port of this worker to be free, received {address} of worker "
                f"{cluster.index}: {reason}"
            ) from error
    return cluster
