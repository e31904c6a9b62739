"""A Ray of several nodes on this machine. `python tests/chaos/cluster.py` starts it, tells of it in a line of JSON, and
ends it with its input.

The head has no processors to give, like a head that only leads. Each node's processes are listed, so that all of them
can be killed or stopped at once: to the others that is a node that is gone, or one that the network has cut off.
"""

import json
import os
import sys
from contextlib import suppress
from signal import SIGKILL

NUM_NODES = 3
NODE_CPUS = 2

HEALTH = {
    # Ray's own take 15 s and more until a node counts as dead, which a test need not wait for.
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
KEEPALIVE = {
    # As the files in infra/ have it, for all nodes and drivers: else the connections of a node that was cut off are
    # given up after five minutes only.
    "RAY_grpc_client_keepalive_time_ms": "10000",
    "RAY_grpc_client_keepalive_timeout_ms": "30000",
}


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        connect=False,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100_000_000},
    )
    nodes = [cluster.add_node(num_cpus=NODE_CPUS, object_store_memory=100_000_000) for _ in range(NUM_NODES)]
    started = [
        [process.process.pid for kind in node.all_processes.values() for process in kind]
        for node in [cluster.head_node, *nodes]
    ]
    print(json.dumps({"address": cluster.address, "nodes": started}), flush=True)
    with suppress(EOFError):
        input()
    for pid in (pid for node in started for pid in node):
        with suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
