"""The files of a study: damaged, foreign, left by a process that was killed, or links."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
from small_study import CFG, SMALL, tables

import rpojax
from rpojax.files import DamagedFileError, read_signed
from rpojax.studies import Halving, Uniform, scores
from rpojax.studies.api import finished_study, make_plan, resume_study
from rpojax.studies.directory import StudyDirectory

pytestmark = pytest.mark.usefixtures("programs_shared")

COMPARED = {"grid": {"alpha": [0.0, 0.5]}, **SMALL}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study") / "done"
    rpojax.study(CFG, **COMPARED, directory=directory)
    return directory


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "copy")


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"scores": [1.0]}'])
def test_a_file_without_its_digest_is_damaged(text, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_signed(path)


def flipped(path, places):
    """The file with one bit changed, once for each place."""
    whole = path.read_bytes()
    for place in places:
        changed = bytearray(whole)
        changed[int(place * len(whole))] ^= 1
        path.write_bytes(changed)
        yield
    path.write_bytes(whole)


def test_damaged_or_foreign_scores_are_evaluated_again_with_a_word(done, copy):
    (file,) = copy.rglob("scores_*.json")
    for _ in flipped(file, (0.1, 0.3, 0.6)):
        with pytest.raises(DamagedFileError, match="cannot be read: "):
            scores.read_scores(file, 4)
    for foreign in ("{}", "[]", "null", "[[0.0]]", '{"scores": [1.0]}', '{"scores": {}}'):
        file.write_text(foreign)
        with pytest.raises(DamagedFileError, match="scores_"):
            scores.read_scores(file, 4)
    with pytest.raises(ValueError, match=r"scores_.* evaluates the agents again"):
        finished_study(copy)
    with pytest.warns(RuntimeWarning, match="scores_.*the agents are evaluated again"):
        resume_study(copy)
    assert tables(copy) == tables(done)
    finished_study(copy)
    next(flipped(file, (0.9,)))
    with pytest.warns(RuntimeWarning, match="cannot be read: .*the agents are evaluated again"):
        resume_study(copy)
    assert tables(copy) == tables(done)


def refused_in_a_line(call, directory, message=r"\w"):
    with pytest.raises(ValueError, match=message) as error:
        call(directory)
    assert "\n" not in str(error.value)


def test_a_damaged_plan_is_refused_in_a_line(copy):
    for _ in flipped(copy / "study.json", np.linspace(0.02, 0.98, 8)):
        for call in (resume_study, finished_study):
            refused_in_a_line(call, copy, r"study\.json' cannot be read: ")


def plans(record):
    yield from (None, [], {}, {name: each for name, each in record.items() if name != "settings"})
    yield record | {"hyperparams": []}
    first, *others = record["settings"]
    for changes in ({"cfg": None}, {"cfg": []}, {"changes": 1, "cfg": {"alpha": {}}}):
        yield record | {"settings": [first | changes, *others]}
    yield from (record | {"settings": settings} for settings in ([], [first, None]))


def test_a_foreign_plan_is_refused_in_a_line(copy):
    record = json.loads((copy / "study.json").read_text())["plan"]
    unsigned = [{"plan": plan, "versions": {}} for plan in plans(record)]  # as older versions wrote
    for foreign in ({}, [], None, {"plan": record}, *unsigned):
        (copy / "study.json").write_text(json.dumps(foreign))
        refused_in_a_line(resume_study, copy)
        refused_in_a_line(lambda place: rpojax.study(CFG, **COMPARED, directory=place), copy)


def test_a_signal_while_evaluating_keeps_what_is_done(done, tmp_path, monkeypatch):
    play = scores.play_with_agents

    def terminated(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return play(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(scores, "play_with_agents", terminated)
        with pytest.raises(KeyboardInterrupt, match=r"what is done is saved; rpojax\.resume_study"):
            rpojax.study(CFG, **COMPARED, directory=tmp_path / "stopped")
    assert len([*(tmp_path / "stopped").rglob("scores_*.json")]) == 1
    resume_study(tmp_path / "stopped")
    assert tables(tmp_path / "stopped") == tables(done)


def test_tables_that_lack_rows_or_are_links_are_whole_again(done, copy, tmp_path):
    (tmp_path / "mine").write_text("mine")
    short, *others = sorted(copy.glob("*.csv"))
    lines = short.read_text().splitlines(keepends=True)
    short.write_text("".join(lines[: len(lines) // 2]))
    for path in others:
        path.unlink()
        path.symlink_to(tmp_path / "mine")
    resume_study(copy)
    assert tables(copy) == tables(done)
    assert (tmp_path / "mine").read_text() == "mine"


def test_what_a_killed_start_has_left_is_in_nobodys_way(tmp_path):
    left = ("study.json.17.partial", ".study.17.draft.json", "run.lock.0a1b", "run.lock.break.1.2")
    for name in left:
        (tmp_path / name).touch()
    plan = make_plan(CFG, **COMPARED)
    StudyDirectory(tmp_path).begin(plan)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    (tmp_path / "study.json").unlink()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        StudyDirectory(tmp_path).begin(plan)


def test_rungs_after_the_same_updates_are_one():
    cfg = CFG.replace(total_timesteps=100 * CFG.batch_size)
    alphas = np.linspace(0.0, 1.0, 300).tolist()
    plan = make_plan(cfg, grid={"alpha": alphas}, halving=3)
    assert [plan.updates_at(cfg, rung) for rung in range(len(plan.rungs))] == [1, 4, 11, 33, 100]
    assert Halving(3).rungs(300)[1:] == plan.rungs
    reported = make_plan(CFG, grid={"alpha": [0.0, 1.0]}, reports=100)
    ends = [reported.updates_at(CFG, rung) for rung in range(len(reported.rungs))]
    assert ends == [*range(1, CFG.num_updates + 1)]


@pytest.mark.parametrize(
    ("compared", "message"),
    [
        ({"grid": {"alpha": list(range(300)), "gamma": [0.9] * 300}}, "90,000 settings together"),
        ({"space": {"alpha": Uniform(0, 1)}, "num_settings": 3_000_000}, "at most 10,000, or"),
        ({"grid": {"alpha": [0.0]}, "num_seeds": 1e12}, r"num_seeds = 1000000000000\.0 is not all"),
        ({"configs": {"a\ud800": {}}}, "cannot be printed"),
        ({"configs": {"a\x1b[31m": {}}}, "cannot be printed"),
        ({"configs": {"a\0": {}}}, "cannot be printed"),
    ],
)
def test_what_no_study_can_be_is_told_at_once(compared, message):
    with pytest.raises(ValueError, match=message):
        make_plan(CFG, **compared)
