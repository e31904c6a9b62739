"""The Grafana dashboard and the alerts: they load, and name only what is exported."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from jobs.metrics import METRICS, STAGES

WATCHING = Path(__file__).parents[2] / "infra" / "watching"
DASHBOARD: dict[str, Any] = json.loads((WATCHING / "texture-store.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((WATCHING / "alerts.yml").read_text())
VARIABLES = {"$dataset": "steel", "$step": "featurize"}
OF_GRAFANA = {"$__range": "3h"}

OURS = {one.exported: one for one in METRICS if one.kind != "histogram"}
BUCKETS = {f"{one.exported}_bucket": one for one in METRICS if one.kind == "histogram"}


@pytest.fixture(scope="module")
def of_ray() -> set[str]:
    """Names that a node exports, from Ray's source. In a process of its own: here, others have still to set up Ray."""
    code = "from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES as all; print(*all)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {f"ray_{name}" for name in run.stdout.split()}


def queries() -> list[str]:
    in_panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    in_alerts = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return in_panels + in_alerts


def parsed(query: str) -> promql_parser.Expr:
    for name, value in (VARIABLES | OF_GRAFANA).items():
        query = query.replace(name, value)
    assert "$" not in query
    return promql_parser.parse(query)


def selectors(query: str) -> Iterator[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
            return False
        return True

    promql_parser.walk(parsed(query), pre_visit=visit)
    return iter({str(one): one for one in found}.values())


def test_grafanas_own_model_reads_all_of_it_and_writes_the_same() -> None:
    register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    assert_within(DASHBOARD, written, "")


def assert_within(part: Any, whole: Any, where: str) -> None:
    """The model drops what it does not know."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, f"{where}/{key} is nothing that Grafana knows"
            assert_within(value, whole[key], f"{where}/{key}")
    elif isinstance(part, list):
        assert len(part) == len(whole), where
        for number, value in enumerate(part):
            assert_within(value, whole[number], f"{where}[{number}]")
    else:
        assert part == whole, where


def test_panels_have_each_an_id_and_a_place_of_their_own() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["title"]
        assert panel["description"]


def test_everything_asks_the_data_source_that_is_chosen() -> None:
    [source, *others] = DASHBOARD["templating"]["list"]
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [f"${one['name']}" for one in others] == list(VARIABLES)
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert all(one["datasource"] == chosen for one in others + DASHBOARD["panels"])
    assert all(target["datasource"] == chosen for panel in DASHBOARD["panels"] for target in panel["targets"])


@pytest.mark.parametrize("query", queries())
def test_a_query_is_promql_and_names_what_is_exported(query: str, of_ray: set[str]) -> None:
    found = list(selectors(query))
    assert found or "vector(0)" in query
    for selector in found:
        labels = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        metric = OURS.get(selector.name) or BUCKETS.get(selector.name)
        if metric is None:
            assert selector.name in of_ray, selector.name
            continue
        assert set(labels) <= set(metric.all_labels)
        if "stage" in labels:
            assert any(re.fullmatch(labels["stage"], stage) for stage in STAGES)
    grouped = {name.strip() for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(",")}
    assert grouped <= {"dataset", "step", "stage", "reason", "le", "instance"}


def test_the_variables_are_asked_of_a_metric_that_has_these_labels() -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert found is not None
        [selector] = selectors(found[1])
        assert found[2] == variable["name"]
        assert found[2] in OURS[selector.name].all_labels


def test_every_metric_of_ours_is_shown() -> None:
    shown = {selector.name for query in queries() for selector in selectors(query)}
    panned = {"ray_texture_store_images_planned"}  # of the variables
    assert set(OURS) | set(BUCKETS) == {name for name in shown if "texture_store" in name} | panned


def test_names_and_labels_are_declared_as_the_docs_say() -> None:
    assert all(re.fullmatch(r"texture_store_[a-z_]+", one.name) for one in METRICS)
    assert len({one.name for one in METRICS}) == len(METRICS)
    assert "job" not in {label for one in METRICS for label in one.all_labels}, "Prometheus renames that one"


def test_an_alert_says_what_and_where() -> None:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) == {"dataset", "step"}
    configured = yaml.safe_load((WATCHING / "prometheus.yml").read_text())
    assert configured["rule_files"] == ["alerts.yml"]
