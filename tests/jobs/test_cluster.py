"""What is wrong before Ray starts is told in one line."""

import os
import subprocess
import sys

import pytest

from jobs.cluster import METRICS_PORT


def connect(before: str, port: str) -> list[str]:
    """Lines on standard error of a process that asks for a local Ray with a port that it cannot have."""
    code = f"{before}\nfrom jobs.cluster import connected\nwith connected('local'):\n    pass\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {METRICS_PORT: port, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    return run.stderr.splitlines()


@pytest.mark.parametrize("port", ["x", "65536"])
def test_a_port_for_metrics_that_is_none_is_told_before_ray_starts(port: str):
    lines = connect("", port)
    assert lines[0] == "starting Ray on this machine"
    assert lines[-1].endswith(f"UsageError: {METRICS_PORT}={port}: write the number of a free port, such as 8080")


def test_ray_that_was_imported_with_other_settings_is_told():
    [line, *_] = connect("import ray", "x")
    assert line.startswith("ray was imported before RAY_USAGE_STATS_ENABLED, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER,")
    assert line.endswith("and may not start: import it later, or set them")
