import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from jobs.index import index
from jobs.report import command, report
from jobs.report_images import evaluated_images
from jobs.report_pictures import shares_of, spread_evenly
from tests.evaluation_rows import evaluation_row
from tests.jobs.conftest import write_archive
from tests.made_store import DEEP_MEAN, MEAN, OTHER_SPEC, RANDOM_SPEC, SPEC, MadeStore
from tests.report.made_report import HOSTILE, grid_rows, question_of
from tests.report.read_page import Page
from texture_store import open_store
from texture_store.errors import DatasetNotFoundError, StoreFormatError, UsageError
from texture_store.store.evaluations import members_digest, write_evaluation
from texture_store.store.snapshots import latest_snapshot


def commit_all(store: str, dataset: str = "steel", **changes: object) -> list[str]:
    """Features of all images of the current snapshot; their image_ids."""
    made = MadeStore.at(store)
    table = latest_snapshot(made.storage, dataset).table
    ids, paths = table.column("image_id").to_pylist(), table.column("path").to_pylist()
    import tests.made_store as module

    known = dict(zip(paths, ids, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "image_id", known.__getitem__)
        made.commit(dataset, "s0", paths, pairs=[MEAN, DEEP_MEAN], **changes)  # type: ignore[arg-type]
    return ids


def write_rows(store: str, ids: list[str], dataset: str = "steel", **changes: object) -> None:
    """Trials of two feature sets; of the first four images the first is misclassified in half of the trials."""
    made = MadeStore.at(store)
    for layer, level in (("conv1_2", 0.6), ("conv5_3", 0.9)):
        for trial in range(4):
            true = [number % 2 for number in range(len(ids))]
            predicted = [1 - true[0] if trial % 2 else true[0], *true[1:]]
            row = evaluation_row(
                "mean",
                layer,
                trial=trial,
                folds=(level, level + 0.01, level + 0.005 * trial),
                dataset=dataset,
                members=members_digest(ids),
                num_images=len(ids),
                **({"classes": ["class0", "class1"], "predicted_class": predicted, "spec": SPEC.fingerprint} | changes),
            )
            write_evaluation(made.storage, dataset, row)


@pytest.fixture
def store(tmp_path: Path, archive: Path) -> str:
    """Of 10 images with labels, features that were made up, and scores."""
    url = str(tmp_path / "store")
    index(url, "steel", str(archive), labels=str(archive / "labels.csv"))
    write_rows(url, commit_all(url))
    return url


def page_of(store: str, dataset: str = "steel", **changes: object) -> str:
    return Path(report(store, dataset, **changes).page).read_text()  # type: ignore[arg-type]


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    assert found
    return found[1]


def test_the_report_lies_in_the_store_and_is_written_once(store: str) -> None:
    steps: list[tuple[int, int]] = []
    first = report(store, "steel", advance=lambda done, rejected: steps.append((done, rejected)))
    assert Path(first.page).parent == Path(store, "reports", "dataset=steel")
    assert re.fullmatch(r"report-[0-9a-f]{12}\.html", Path(first.page).name)
    assert steps == [(1, 0)] * 10
    assert (first.images, first.images_missing, first.left_out) == (10, 0, [])
    before = Path(first.page).stat()
    assert report(store, "steel").page == first.page
    assert Path(first.page).stat().st_mtime_ns == before.st_mtime_ns


def test_every_class_is_shown_and_the_scores_are_those_of_the_store(store: str) -> None:
    page = page_of(store)
    samples = section(page, "samples")
    assert re.findall(r"<h3>(\w+)", samples) == ["class0", "class1"]
    assert samples.count("<img") == 10
    assert "best is mean conv5_3" in section(page, "summary")
    assert "Folds by image" in section(page, "layers")
    assert "input is never the best layer" in section(page, "claims")
    assert SPEC.weights in section(page, "provenance")


def test_images_that_are_misclassified_are_shown_with_what_they_are_taken_for(store: str) -> None:
    wrong = section(page_of(store), "misclassified")
    assert "over 4 trials: 1 of 10 images were misclassified at least once, 1 in at least half" in wrong
    assert "image000.<wbr>tif" in wrong
    assert "class0, taken for class1" in wrong
    assert "wrong in 50 % of the trials" in wrong


def test_the_audit_takes_the_baselines_that_evaluate_stored(store: str) -> None:
    audit = section(page_of(store), "audit")
    assert "um_per_px alone predicts the label with weighted F1 0.500 by image" in audit
    assert "from the baselines that evaluate stored" in audit
    assert "10 images in 2 classes" in audit


def test_the_number_of_pictures_is_bounded(store: str) -> None:
    summary = report(store, "steel", max_images=3)
    assert summary.images == 3
    page = Path(summary.page).read_text()
    assert section(page, "misclassified").count("<img") == 1
    assert section(page, "samples").count("<img") == 2
    none = report(store, "steel", max_images=0)
    assert none.images == 0
    assert none.left_out == ["No picture was left for samples (--max-images)."]
    assert "<img src" not in Path(none.page).read_text()


def test_an_archive_that_is_gone_leaves_pictures_out_and_says_so(store: str, archive: Path) -> None:
    shutil.rmtree(archive)
    summary = report(store, "steel")
    page = Path(summary.page).read_text()
    assert (summary.images, summary.images_missing) == (0, 10)
    assert "gone since it was indexed" in section(page, "samples")
    assert "best is mean conv5_3" in section(page, "summary")


def test_an_archive_that_cannot_be_read_leaves_pictures_out_and_says_so(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from texture_store.errors import StoragePermissionError

    def refuse(*_: object) -> None:
        raise StoragePermissionError("s3://archive: no permission to read")

    monkeypatch.setattr("jobs.report_pictures.fetch", refuse)
    summary = report(store, "steel")
    assert summary.left_out == ["pictures: s3://archive: no permission to read"]
    assert "the archive cannot be read: s3://archive: no permission" in section(
        Path(summary.page).read_text(), "samples"
    )


def test_a_dataset_without_labels_leaves_out_what_needs_them(tmp_path: Path, archive: Path) -> None:
    url = str(tmp_path / "store")
    (archive / "labels.csv").unlink()
    index(url, "steel", str(archive))
    commit_all(url)
    summary = report(url, "steel")
    page = Path(summary.page).read_text()
    assert summary.left_out == [
        "There are no labels, so there are no scores: run index with --labels, then evaluate.",
        "An audit needs labels: run index with --labels.",
    ]
    assert "<h2>Samples</h2>" in section(page, "samples")
    assert "All micrographs" in section(page, "samples")
    assert section(page, "samples").count("<img") == 10
    for name in ("lengths", "layers", "scores", "claims", "confusion", "misclassified"):
        assert "There are no labels" in section(page, name)


def test_a_dataset_that_is_only_indexed_or_not_evaluated_has_a_report(tmp_path: Path, archive: Path) -> None:
    url = str(tmp_path / "store")
    index(url, "steel", str(archive), labels=str(archive / "labels.csv"))
    page = page_of(url)
    assert "None has features yet" in section(page, "summary")
    assert "these are the default settings of featurize" in section(page, "samples")
    assert "There are no scores yet: run evaluate." in section(page, "scores")
    assert section(page, "samples").count("<img") == 10
    assert "No image was featurized yet" in section(page, "rejected")
    assert "Plotly" not in re.findall(r"<script>(.{0,200})", page)[0]
    commit_all(url)
    assert "All have been seen by the network" in section(page_of(url), "summary")


def test_rejected_images_are_counted_by_reason_and_not_shown_as_samples(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path / "store")
    paths = [f"{number}.tif" for number in range(6)]
    made.index("steel", paths, labels=dict.fromkeys(paths, "a"))
    made.commit("steel", "s0", paths[:4], rejected=paths[4:])
    page = page_of(made.url)
    rejected = section(page, "rejected")
    assert re.search(r"UnreadableImageError</td><td[^>]*>decode</td>.*?>2</td>.*?33\.3 %", rejected)
    assert "4.tif" in rejected
    assert "4.tif" not in section(page, "samples").replace("<wbr>", "")


def test_random_weights_are_said_first(tmp_path: Path) -> None:
    made = MadeStore.at(tmp_path / "store")
    made.index("steel", ["a.tif"])
    made.commit("steel", "s0", ["a.tif"], spec=RANDOM_SPEC)
    summary = section(page_of(made.url), "summary")
    assert re.search(r'<li class="problem">.*?RANDOM, for tests only', summary)
    assert summary.index("RANDOM") < summary.index("1 micrograph")


def test_labels_and_paths_are_text_wherever_they_come_from(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    names = [f"<img src=x onerror=alert({number})>{{{{7*7}}}}.png" for number in range(4)]
    rows = ['path,label,"<b>x</b>"']
    hostile = HOSTILE.replace("\x00", "").replace('"', '""')
    for number, name in enumerate(names):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (64, 64), dtype=np.uint8)).save(archive / name)
        rows.append(f'{name},"{hostile if number % 2 else "plain"}",{number % 2}')
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    url = str(tmp_path / "store")
    index(url, "steel", str(archive), labels=str(tmp_path / "labels.csv"))
    label = HOSTILE.replace("\x00", "")
    write_rows(url, commit_all(url), classes=["plain", label], metadata={"<b>x</b>": 0.6, "together": 0.5})
    read = Page(page_of(url))
    assert {"b", "wbr"} & {tag for tag, _ in read.tags} <= {"b", "wbr"}
    assert not any("onerror" in attributes for _, attributes in read.tags)
    assert "alert(0)>{{7*7}}.png" in read.text
    assert label.replace("\u202e", "?") in read.text
    assert "<b>x</b> alone" in read.text


def test_scores_of_an_older_snapshot_are_said(store: str, archive: Path) -> None:
    write_archive(archive, count=2, first=10)
    index(store, "steel", str(archive), labels=str(archive / "labels.csv"))
    page = page_of(store)
    assert "Evaluated was snapshot 1; the current one is 2." in section(page, "lengths")
    assert "2 are pending" in section(page, "summary")
    assert "1 of 10 images were misclassified" in section(page, "misclassified")  # of snapshot 1


def test_scores_without_predictions_or_of_unknown_images_leave_the_mistakes_out(tmp_path: Path, archive: Path) -> None:
    url = str(tmp_path / "store")
    index(url, "steel", str(archive), labels=str(archive / "labels.csv"))
    ids = commit_all(url)
    write_rows(url, ids[1:])
    assert "not known any more which images" in section(page_of(url), "misclassified")
    write_rows(url, ids, predicted_class=None, conditions=["label!=none"], snapshot=2)
    assert "run evaluate again" in section(page_of(url), "misclassified")


def test_the_images_of_an_evaluation_are_found_by_their_hash(store: str) -> None:
    storage = open_store(store).storage
    rows = open_store(store).evaluations("steel")
    found = evaluated_images(storage, "steel", rows)
    assert found is not None
    assert members_digest(found.column("image_id").to_pylist()) == rows["members"].iloc[0]
    assert evaluated_images(storage, "steel", rows.assign(members="0" * 32)) is None
    assert evaluated_images(storage, "steel", rows.assign(snapshot=7)) is None
    assert evaluated_images(storage, "steel", question_of(grid_rows()).rows) is None


def test_other_datasets_are_asked_for_the_claim_about_several(store: str, archive: Path) -> None:
    index(store, "iron", str(archive), labels=str(archive / "labels.csv"))
    ids = commit_all(store, "iron")
    write_rows(store, ids, "iron")
    assert "steel conv5_3; iron conv5_3" in section(page_of(store), "claims")


def test_pictures_are_seen_as_the_best_set_s_spec_says(store: str) -> None:
    assert "512 x 512 px" in section(page_of(store), "samples")
    table = latest_snapshot(MadeStore.at(store).storage, "steel").table
    commit_all(store, spec=OTHER_SPEC)  # newer, but not what the scores are of
    assert "512 x 512 px" in section(page_of(store), "samples")
    write_rows(store, table.column("image_id").to_pylist(), spec=OTHER_SPEC.fingerprint, created="2027-01-01")
    assert "256 x 256 px" in section(page_of(store), "samples")


def test_the_command_writes_the_output_too_and_prints_where(store: str, tmp_path: Path) -> None:
    output = tmp_path / "out" / "steel.html"
    arguments = ["--store", store, "--dataset", "steel", "--output", str(output), "--json"]
    runner = CliRunner(catch_exceptions=False)
    result = runner.invoke(command, arguments)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["output"] == str(output)
    assert output.read_bytes() == Path(printed["page"]).read_bytes()
    assert printed["bytes"] == len(output.read_bytes())
    assert runner.invoke(command, arguments).exit_code == 0  # the same once more
    output.write_text("mine")
    result = runner.invoke(command, arguments)
    assert result.exit_code == 2
    assert "there is another file of this name" in result.output
    assert output.read_text() == "mine"


def test_what_is_not_there_is_one_line(store: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no dataset copper"):
        report(store, "copper")
    with pytest.raises(StoreFormatError, match="no store here"):
        report(str(tmp_path), "steel")
    with pytest.raises(UsageError):
        report(store, "steel", output="s3://user:secret@lab/report.html")
    result = CliRunner().invoke(command, ["--store", store, "--dataset", "copper"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_real_micrographs_are_shown_without_their_databar_and_with_their_width(test_data: Path, tmp_path: Path) -> None:
    folder, url = test_data / "uhcs", str(tmp_path / "store")
    index(url, "uhcs", str(folder), labels=str(folder / "labels.csv"))
    samples = section(page_of(url, "uhcs"), "samples")
    assert samples.count("<img") == 24  # of 38 in six classes, six of a class at most
    # 645 px wide at 0.03876 um per px: the labels file has the scale, since the file has none.
    assert re.search(r"micrograph1\.<wbr>tif.*?25 µm wide, 0\.0488 x 0\.0366 µm per px \(labels file\)", samples)


def test_pictures_are_shared_out_evenly() -> None:
    assert shares_of(10, [2, 9, 9]) == [2, 4, 4]
    assert shares_of(2, [5, 5, 5]) == [1, 1, 0]
    assert shares_of(99, [1, 2]) == [1, 2]
    assert shares_of(0, [3]) == [0]
    assert spread_evenly(7, 3).tolist() == [0, 3, 6]
    assert spread_evenly(7, 1).tolist() == [3]
    assert spread_evenly(2, 5).tolist() == [0, 1]
    assert spread_evenly(5, 0).tolist() == []
