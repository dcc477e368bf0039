import json
import shutil

import pytest

from jaxmeta import checks
from jaxmeta.runs import clear, create, folder, held, write_json
from jaxmeta.transfer import meetings


@pytest.mark.fault(promised="one line that names the file; what exists stays")
def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with create(tmp_path / "run", force=False) as path:
        for hold in (lambda: held(path), lambda: create(path, force=True)):
            with pytest.raises(checks.DataError, match="another process"), hold():
                pass
    with held(path), pytest.raises(checks.DataError, match="another process"), held(path):
        pass


@pytest.mark.fault(promised="one line that names the file; what exists stays")
def test_what_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for hint in ({}, {"hint": "give another"}):
        wanted = f"an empty folder, got one that holds something; {hint.get('hint', 'choose another folder')}"
        with pytest.raises(ValueError, match=wanted), create(tmp_path, force=False, **hint):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with create(tmp_path, force=True) as path:
        write_json(path / "config.json", {})
        (path / "checkpoints" / "maml").mkdir(parents=True)
        (path / "report" / "figures").mkdir(parents=True)
        (path / "report" / "report.html").write_text("of the run before")
        clear(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "mine.txt"]


@pytest.mark.parametrize("removed", [clear, meetings._clear])
def test_a_run_or_transfer_that_begins_anew_leaves_no_report_of_the_one_before(tmp_path, removed):
    figures = tmp_path / "report" / "figures"
    figures.mkdir(parents=True)
    for path in (figures / "scores.png", *(tmp_path / "report" / f"report.{end}" for end in ("html", "md", "tex"))):
        path.write_text("old")
    (tmp_path / "report" / "notes.md").write_text("mine")
    removed(tmp_path)
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["notes.md"]
    shutil.rmtree(tmp_path / "report")
    (tmp_path / "report").symlink_to(tmp_path.parent)
    with pytest.raises(checks.DataError, match="got a link"):
        removed(tmp_path)


def test_lines_are_whole_or_absent(tmp_path, full_disk):
    ends = [folder.append_metrics(tmp_path, {"step": step, "loss": float("nan")}) for step in range(3)]
    with full_disk(ends[-1] + 5), pytest.raises(checks.DataError, match=r"metrics\.jsonl: expected a file"):
        folder.append_metrics(tmp_path, {"step": 3})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": step, "loss": None} for step in range(3)]
    folder.truncate_metrics(tmp_path, ends[0])
    assert folder.metrics_end(tmp_path) == ends[0]
    with pytest.raises(checks.DataError, match="of its checkpoint"):
        folder.truncate_metrics(tmp_path, ends[1])


def test_a_full_disk_leaves_a_file_as_it_was(tmp_path, full_disk):
    write_json(tmp_path / "results.json", [1])
    with full_disk(), pytest.raises(checks.DataError, match=r"results\.json: expected a file that can be written"):
        write_json(tmp_path / "results.json", list(range(10_000)))
    assert json.loads((tmp_path / "results.json").read_text()) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.fault(promised="one line that names the file; what exists stays")
def test_a_folder_that_is_gone_is_one_line(tmp_path):
    shutil.rmtree(tmp_path)
    for write in (lambda: folder.append_metrics(tmp_path, {}), lambda: write_json(tmp_path / "config.json", {})):
        with pytest.raises(checks.DataError, match="can be written, got No such file or directory"):
            write()


def test_no_lock_is_made_through_a_link(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "made")
    for hold in (lambda: held(tmp_path / "run"), lambda: create(tmp_path / "run", force=False)):
        with pytest.raises(checks.DataError, match="a link"), hold():
            pass
    assert not (tmp_path / "made").exists()


def test_json_of_any_size(tmp_path):
    (tmp_path / "it.json").write_text("[1, 2]")
    assert folder.read_json(tmp_path / "it.json", 6) == [1, 2]
    with pytest.raises(ValueError, match="more than 5 bytes"):
        folder.read_json(tmp_path / "it.json", 5)
