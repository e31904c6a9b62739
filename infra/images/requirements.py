"""Prints the part of infra/dev/requirements.lock that an image needs, with hashes. Imports nothing: it runs first.

python infra/images/requirements.py gpu    # all that the commands need, not what only tests and linters need
python infra/images/requirements.py cpu    # likewise without CUDA: torch comes from PyTorch's index of CPU builds
python infra/images/requirements.py torch  # the two that differ, with the versions of the lock
python infra/images/requirements.py tools  # what installs those and builds our own package
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
OF_TORCH = ("torch", "torchvision")
TOOLS = ("uv", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
ALSO_NEEDED = ("packaging", "prometheus-client")
"""Named by the extra `dev` since tests import them, but other packages need them, too."""
_CUDA = re.compile(r"(nvidia-.*|cuda-.*|triton)")


def pinned(lock: str) -> dict[str, str]:
    """The lock's entries by the name of the package: `name==version ; marker` and the lines with hashes.

    Some have several, each for some versions of Python.
    """
    found: dict[str, str] = {}
    for entry in re.split(r"(?m)^(?=[a-z0-9])", lock):
        if "==" in entry:
            name = re.split(r"[=\s]", entry)[0]
            found[name] = found.get(name, "") + entry
    return found


def development_only(project: dict) -> set[str]:
    """What the extra `dev` names and nothing else does."""
    extras = project["optional-dependencies"]
    named = {kind: {_name(text) for text in texts} for kind, texts in (extras | {"": project["dependencies"]}).items()}
    return named.pop("dev") - set().union(ALSO_NEEDED, *named.values())


def chosen(kind: str, lock: str, project: dict) -> str:
    """The text for `pip install --require-hashes` of one kind of image."""
    entries = pinned(lock)
    if kind == "tools":
        return "".join(entries[name] for name in TOOLS)
    if kind == "torch":
        return "".join(entries[name].split()[0] + "\n" for name in OF_TORCH)
    left_out = development_only(project)
    if kind == "cpu":
        left_out |= {name for name in entries if name in OF_TORCH or _CUDA.fullmatch(name)}
    return "".join(entry for name, entry in entries.items() if name not in left_out)


def _name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("gpu", "cpu", "torch", "tools"):
        sys.exit(__doc__)
    lock = (PROJECT / "infra" / "dev" / "requirements.lock").read_text()
    print(chosen(sys.argv[1], lock, tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]), end="")
