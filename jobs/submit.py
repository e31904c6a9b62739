"""submit: one of our commands as a job on a running Ray cluster, once at a time and again after a failure.

A run's submission id is its name and a number, such as `weekly-3`. While the last run of a name is active, a further
submit leaves it alone; when it has ended, whether well or not, the next number begins. Since every command goes on
where the last one stopped, a run after a failed one resumes it.
"""

import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from jobs.commands import JobCommand
from jobs.logs import this_log
from jobs.options import EXIT_FAILED, json_option, print_summary
from jobs.progress import say
from texture_store.errors import MissingExtraError, TextureStoreError, UsageError

JOB = "submit"
POLL_SECONDS = 2.0
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_ACTIVE = ("PENDING", "RUNNING")


@dataclass(frozen=True)
class Submission:
    """A run of a named job on a cluster."""

    submission_id: str
    is_new: bool
    """False: it was running already."""
    status: str
    """Ray's: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    exit_status: int | None
    """The command's own, once it has ended."""


def submit(client: Any, name: str, entrypoint: str, *, working_dir: str | None = None) -> Submission:
    """Start the next run of `name`, unless the last one is still active. `client`: a JobSubmissionClient."""
    last = _last_run(client, name)
    if last and client.get_job_status(f"{name}-{last}").value in _ACTIVE:
        return submission(client, f"{name}-{last}", is_new=False)
    submission_id = f"{name}-{last + 1}"
    environment = {"working_dir": working_dir} if working_dir else None
    try:
        client.submit_job(entrypoint=entrypoint, submission_id=submission_id, runtime_env=environment)
    except RuntimeError as error:
        # Two submitters at once: the cluster takes the first, and the other one finds it.
        if "already exists" not in str(error):
            raise
        return submission(client, submission_id, is_new=False)
    return submission(client, submission_id, is_new=True)


def submission(client: Any, submission_id: str, *, is_new: bool) -> Submission:
    """How a run stands."""
    info = client.get_job_info(submission_id)
    return Submission(submission_id, is_new, info.status.value, info.driver_exit_code)


def follow(client: Any, started: Submission) -> Submission:
    """Pass on what the run prints until it ends."""
    printed = 0
    while True:
        now = submission(client, started.submission_id, is_new=started.is_new)
        log = client.get_job_logs(started.submission_id)
        is_over = now.status not in _ACTIVE
        whole = len(log) if is_over else log.rfind("\n") + 1
        for line in log[printed:whole].splitlines():
            _pass_on(line)
        printed = max(printed, whole)
        if is_over:
            return now
        time.sleep(POLL_SECONDS)


def _pass_on(line: str) -> None:
    """A line of the run as it is; where lines are objects, one that is none becomes one: Ray says things of its own."""
    if this_log().is_json and not (line.startswith("{") and line.endswith("}")):
        say(line)
    else:
        click.echo(line, err=True)


def entrypoint_of(command: tuple[str, ...]) -> str:
    """The shell line that runs `command` where the cluster's `python` is that of our nodes. Raises UsageError."""
    from jobs.cli import COMMANDS, texture_store

    name, *arguments = command
    if name not in COMMANDS or name == JOB:
        raise UsageError(f"{name} is no command to submit; texture-store --help lists them")
    found: Any = texture_store.get_command(click.Context(texture_store), name)
    takes_address = any("--address" in option.opts for option in found.params)
    if takes_address and not any(argument.split("=")[0] == "--address" for argument in arguments):
        arguments += ["--address", "auto"]
    return shlex.join(["python", "-m", f"jobs.{name.replace('-', '_')}", *arguments])


def _last_run(client: Any, name: str) -> int:
    pattern = re.compile(rf"{re.escape(name)}-(\d+)")
    numbers = [pattern.fullmatch(job.submission_id or "") for job in client.list_jobs()]
    return max((int(number[1]) for number in numbers if number), default=0)


@contextmanager
def _client(cluster: str) -> Iterator[Any]:
    try:
        from ray.exceptions import RayError
        from ray.job_submission import JobSubmissionClient
    except ImportError:
        raise MissingExtraError("Ray is not installed; pip install 'texture-store[jobs]'") from None
    try:
        yield JobSubmissionClient(cluster)
    except ConnectionError:
        raise TextureStoreError(f"no Ray cluster takes jobs at {cluster}; is its head up, and the port open?") from None
    except (RuntimeError, ValueError, RayError) as error:
        if isinstance(error, TextureStoreError):
            raise
        reason = " ".join(str(error).split())
        if "uthentication" in type(error).__name__ + reason or " 401" in reason or " 403" in reason:
            reason = "it refused the token; RAY_AUTH_MODE and RAY_AUTH_TOKEN must be those of its nodes"
        raise TextureStoreError(f"the Ray cluster at {cluster}: {reason[:300]}") from None


@click.command(
    JOB,
    cls=JobCommand,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="Example: texture-store submit --name steel-weekly --cluster http://head:8265 --"
    " featurize --store s3://lab/store --dataset steel",
)
@click.option("--name", required=True, metavar="NAME", help="Of the job: a-z, 0-9 and -. One run of a name at a time.")
@click.option(
    "--cluster",
    default="http://127.0.0.1:8265",
    show_default=True,
    envvar="RAY_API_SERVER_ADDRESS",
    show_envvar=True,
    metavar="URL",
    help="The cluster's dashboard.",
)
@click.option("--working-dir", metavar="DIR", help="A small folder to send along, such as that of a recipe.")
@click.option("--no-wait", is_flag=True, help="Do not wait for its end.")
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    *, name: str, cluster: str, working_dir: str | None, no_wait: bool, as_json: bool, command: tuple[str, ...]
) -> None:
    """Run one of our commands on a running Ray cluster.

    It goes on there when this process ends. While a run of the same NAME is active, nothing is submitted; after a
    failed one the next run resumes it. Ends with the exit status of the command, unless --no-wait.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name}: use a-z, 0-9 and -, 80 at most")
    entrypoint = entrypoint_of(command)
    with _client(cluster) as client:
        run = submit(client, name, entrypoint, working_dir=working_dir)
        if not run.is_new:
            say(f"{run.submission_id} is running already; nothing submitted")
        elif no_wait:
            say(f"submitted {run.submission_id}; texture-store status shows how far it is")
        else:
            say(f"submitted {run.submission_id}: {entrypoint}")
            run = follow(client, run)
    print_summary(asdict(run), as_json=as_json)
    if run.is_new and not no_wait and run.status != "SUCCEEDED":
        sys.exit(run.exit_status or EXIT_FAILED)


if __name__ == "__main__":
    command()
