"""infra/dev/test.sh: its exit status is that of the tests, whichever of its runs they are in."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "infra" / "dev" / "test.sh"
RUNS = {"kills": "-m chaos", "ray": "-m ray", "others": "-m not (ray"}
"""How the arguments of each run begin."""


def run_with(folder: Path, pytest_script: str) -> subprocess.CompletedProcess[str]:
    """The script in a project whose pytest is `pytest_script`, in the language of sh."""
    scripts = {"infra/dev/setup.sh": "", "infra/dev/check.sh": "", ".venv/bin/pytest": pytest_script}
    for name, text in scripts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    shutil.copy(SCRIPT, folder / "infra" / "dev" / "test.sh")
    return subprocess.run(["bash", str(folder / "infra" / "dev" / "test.sh")], capture_output=True, text=True)


def test_all_green_is_status_0(tmp_path: Path) -> None:
    run = run_with(tmp_path, 'echo "1 passed of $*"')
    assert run.returncode == 0, run.stderr
    assert all(f"1 passed of {arguments}" in run.stdout for arguments in RUNS.values())


@pytest.mark.parametrize("red", RUNS)
@pytest.mark.parametrize("status", [1, 134])
def test_one_red_run_is_its_status_and_the_last_lines(tmp_path: Path, red: str, status: int) -> None:
    fails = f'echo "FAILED {red}"; echo "1 failed"; exit {status}'
    run = run_with(tmp_path, f'case "$*" in "{RUNS[red]}"*) {fails};; *) echo "1 passed";; esac')
    assert run.returncode == status
    assert run.stdout.splitlines()[-1] == f"FAILED {red}"


def test_a_run_that_dies_without_a_word_is_red(tmp_path: Path) -> None:
    assert run_with(tmp_path, "exit 139").returncode == 139
