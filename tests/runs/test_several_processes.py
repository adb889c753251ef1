"""Jobs of several processes, joined by `jax.distributed` on this machine."""

import sys
import time
from pathlib import Path

import job
import numpy as np
import pytest
from stopped_runs import stopped_after

import rpojax
from rpojax.devices import processes

COMMAND = str(Path(sys.executable).with_name("rpojax"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.optimized,
    pytest.mark.timeout(3 * job.SECONDS),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Directory and results of one process with four devices, and of two with two each."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    return {
        1: (one, job.run(1, 4, "everything", one, quickly=False)),
        2: (two, job.run(2, 2, "everything", two, quickly=False)),
    }


@pytest.mark.parametrize("what", ["whole", "stopped", "population", "shared", "study"])
def test_two_processes_of_two_devices_are_one_of_four_to_the_bit(trained, what):
    (_, [alone]), (_, both) = trained[1], trained[2]
    assert [each[what] for each in both] == [alone[what]] * 2


def test_only_the_first_process_logs(trained):
    columns = {}
    for number, (directory, _) in trained.items():
        rows = [line.split(",") for line in (directory / "whole/metrics.csv").read_text().split()]
        timed = rows[0].index("steps_per_second")
        columns[number] = [row[:timed] + row[timed + 1 :] for row in rows]
    assert columns[1] == columns[2]
    assert len(columns[2]) == 1 + 12 * 6


@pytest.mark.parametrize("number", [1, 3])
def test_another_number_of_processes_resumes(trained, number, tmp_path):
    directory, told = trained[2]
    stopped_after(directory / "whole/run", 8, tmp_path / "stopped/run")
    if number == 1:
        resumed = [job.resume(tmp_path / "stopped")]
    else:
        resumed = job.run(number, 1, "resume", tmp_path / "stopped", quickly=False)
    assert resumed == [told[0]["whole"]] * number


def test_an_error_in_one_process_ends_all_with_its_message(tmp_path):
    first, second = job.run(2, 1, "errors", tmp_path / "run")
    assert second[0] == "KeyError: 'a mistake'"
    assert first[0] == "ProcessError: process 1 of 2 failed: KeyError: 'a mistake'"
    assert "is in use by process" in first[1]
    assert second[1].startswith("ProcessError: process 0 of 2 failed: DirectoryInUseError")
    assert first[2] == second[2] == "none", "the same processes go on with another run"


@pytest.fixture(scope="module")
def disagreed(tmp_path_factory):
    return job.run(2, 1, "disagreements", tmp_path_factory.mktemp("disagreed") / "run")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("fit", "hyperparams/learning_rate = [9.99"),
        ("config", "cfg/gamma = 0.9 in process 0, and 0.91 in process 1"),
        ("option", "changes/eval_every = 1 in process 0, and 2 in process 1"),
        ("resume", "total_timesteps = 256 in process 0, and 320 in process 1"),
        ("study", 'settings/1/label = "alpha=0.1" in process 0, and "alpha=1.1" in process 1'),
        ("optimize", "num_trials = 1 in process 0, and 2 in process 1"),
        ("evaluate", "num_episodes = 2 in process 0, and 3 in process 1"),
        ("sharded_vmap", "argument 0 = [0.0, 1.0, 2.0, 3.0] in process 0, and [1.0, 2.0"),
    ],
)
def test_calls_that_differ_between_processes_are_refused_in_all(disagreed, call, message):
    names = {"config": "fit", "option": "fit"}
    for told in disagreed:
        assert told[call].startswith(f"{names.get(call, call)} is not called alike in all")
        assert message in told[call]


def test_calls_that_are_alike_pass_and_objects_are_only_warned_of(disagreed):
    for told in disagreed:
        assert told["alike"] == told["function"] == "none"
    assert len(disagreed[0]["alone"]) == 1, "an action of a policy that one process has loaded"


def test_trials_of_optuna_are_those_of_the_first_process(disagreed):
    """Each process has a sampler of its own; the second one's is not asked."""
    first, second = disagreed
    assert [len(trials) for trials in first["trials"]] == [2, 2]
    assert second["trials"] == [[], []]
    cfg = job.config(total_timesteps=64, **first["trials"][1][0])
    alone = rpojax.study(cfg, num_seeds=2, eval_episodes=2)
    assert first["values"][1][0] == pytest.approx(alone.summary()[0].score, rel=1e-5)


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_others_and_nothing_saved_is_lost(killed, tmp_path):
    started = job.start(job.workers(2, 1, "train_for_long", tmp_path / "run"))
    try:
        updates = 0
        while updates < 40:
            line = started[0].stdout.readline()
            updates = int(line) if line.strip().isdigit() else 0
        started[killed].kill()
        at = time.monotonic()
        ended = job.Ended(started[1 - killed])
    finally:
        job.end(started)
    assert ended.status != 0
    assert "processes is gone" in ended.stderr or "another task died" in ended.stderr
    assert ended.at - at < 3 * job.LOST_AFTER, "seconds; one and a little, on an idle machine"
    run = rpojax.load(tmp_path / "run")
    assert run.updates.min() >= 32
    assert np.isfinite(run.result.metrics.policy_loss).all()


def command(tmp_path, *flags):
    """The command of each of two processes that train by `rpojax train`."""
    port = job.free_port()
    settings = [
        "--num-envs",
        "4",
        "--num-steps",
        "16",
        "--num-minibatches",
        "2",
        "--num-seeds",
        "2",
    ]
    settings += ["--output-dir", str(tmp_path), "--run-name", "job", *flags]
    where = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id"]
    train = [COMMAND, "train", *settings, *where]
    return [[*train, str(process_id)] for process_id in range(2)]


def test_the_command_prints_and_draws_in_the_first_process(tmp_path):
    started = job.start(command(tmp_path, "--total-timesteps", "640"))
    try:
        first, second = [job.Ended(each) for each in started]
    finally:
        job.end(started)
    assert [first.status, second.status] == [0, 0], first.stderr + second.stderr
    assert "Pendulum-v1, 640 steps of each agent" in first.stdout
    assert second.stdout == ""
    assert (tmp_path / "job/learning_curve.png").exists()
    assert len((tmp_path / "job/metrics.csv").read_text().split()) == 1 + 10 * 2


def test_a_signal_to_one_process_saves_and_stops_all(tmp_path):
    started = job.start(command(tmp_path, "--total-timesteps", "100000000"))
    try:
        metrics = tmp_path / "job/metrics.csv"
        while not (metrics.exists() and metrics.read_text()):  # empty until the first record
            assert started[0].poll() is None, started[0].communicate()
            time.sleep(0.2)
        started[1].terminate()
        first, second = [job.Ended(each) for each in started]
    finally:
        job.end(started)
    assert [first.status, second.status] == [143, 143], first.stderr + second.stderr
    assert "resume with `rpojax resume" in first.stderr
    assert rpojax.load(tmp_path / "job").updates.min() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "somewhere"}, "not of the form host:port"),
        ({"coordinator": "a:1", "num_processes": 0}, "num_processes = 0"),
        ({"coordinator": "a:1", "num_processes": 2, "process_id": 2}, "process_id = 2"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        rpojax.use_all_machines(**arguments)


def test_one_process_has_nothing_to_agree_on():
    assert processes.is_first()
    assert not processes.several()
    assert processes.exchanged([1, "a"], list) == [[1, "a"]]
