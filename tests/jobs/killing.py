"""Jobs in processes of their own that are killed in the middle."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def commits(store: str, job: str = "") -> list[Path]:
    """Commit records of a job; of all without one."""
    return list(Path(store).glob(f"commits/*/*/{job}*/*.json"))


def start_and_wait(arguments: list[str], store: str, *, num_commits: int, job: str = "") -> subprocess.Popen[str]:
    """Start `texture-store` and come back once the store has so many commits of a job."""
    command = [sys.executable, "-m", "jobs.cli", *arguments]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while len(commits(store, job)) < num_commits:
        assert driver.poll() is None, driver.communicate()[1]
        if time.monotonic() > deadline:
            driver.kill()
            raise AssertionError(f"no {num_commits} commits within 200 s: {driver.communicate()[1]}")
        time.sleep(0.05)
    return driver


def kill(driver: subprocess.Popen[str]) -> None:
    """SIGKILL the driver, and wait until the processes of its Ray are gone."""
    below = [pid for pid, _ in workers_below(driver.pid)]
    assert below
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 60
    # They end with their driver; what they still write then is like any late writer.
    while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in below):
        assert time.monotonic() < deadline, "Ray outlives its driver"
        time.sleep(0.1)


def workers_below(driver: int) -> Iterator[tuple[int, str]]:
    """(pid, name) of Ray's workers of this driver, named as Ray does; its agents, which write nothing, left out."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            parents[int(folder.name)] = (parent, (folder / "cmdline").read_bytes().decode(errors="replace"))
        except (OSError, IndexError):
            continue
    for pid, (parent, name) in parents.items():
        if name.startswith("ray::") and "Agent" not in name:
            while parent in parents and parent != driver:
                parent = parents[parent][0]
            if parent == driver:
                yield pid, name


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
