"""`rpojax eval`, `export` and `render`: what is done with a run."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import BATCH, UPDATES, returns_in, rows_of, run

import rpojax
from rpojax.cli import main
from rpojax.runs import checkpoint_manager

pytestmark = pytest.mark.usefixtures("programs_shared")


def test_eval_of_the_newest_checkpoint_gives_what_training_ended_with(trained):
    report = run("eval", trained.path, "--json").report
    trained_report = trained.finished.report
    for name in ("env", "episodes", "agents", "groups", "steps"):
        assert report[name] == trained_report[name], name
    assert report["checkpoint"].endswith("update_000000031")
    assert (report["seed"], report["stochastic"]) == (None, False)


def test_eval_has_its_episodes_its_seed_and_its_noise(trained):
    def returns(*flags: str) -> list[float]:
        return returns_in(run("eval", trained.path, "--episodes=4", "--json", *flags).report)

    default = returns()
    assert default == returns()
    assert returns("--seed=1") == returns("--seed=1") != default
    assert default != returns("--stochastic")


def test_eval_of_the_best_checkpoint(trained):
    report = run("eval", trained.path, "--best", "--episodes=4", "--json").report
    rows = rows_of(trained.path)
    best = []
    for agent in ("0", "1"):
        evaluated = [r for r in rows if r["agent"] == agent and r["evaluation_return"]]
        best.append(int(max(evaluated, key=lambda r: float(r["evaluation_return"]))["updates"]))
    assert report["checkpoint"].endswith("update_000000031")
    assert report["steps"] == sum(best) * BATCH


def test_eval_prints_a_table(trained):
    finished = run("eval", trained.path, "--episodes=4")
    assert (finished.status, finished.err) == (0, "")
    assert "after 3,968 steps of each agent" in finished.out
    assert "return, 4" in finished.out
    assert "±" in finished.out
    ascii_terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(ascii_terminal):
        main(["eval", str(trained.path), "--episodes=4"])
        ascii_terminal.flush()
    assert b"+-" in ascii_terminal.buffer.getvalue()


def test_damaged_checkpoints_are_skipped_with_a_warning_of_one_line_each(trained, tmp_path):
    path = trained.copy(tmp_path)
    newest = checkpoint_manager.checkpoint_paths(path / "checkpoints")
    shutil.rmtree(newest[-1] / "policy")
    for file in (newest[-2] / "policy").rglob("d/*"):
        file.write_bytes(b"damaged")
    finished = run("eval", path, "--episodes=4", "--json")
    assert finished.report["checkpoint"] == str(newest[-3])
    for warning, checkpoint in zip(finished.err.splitlines(), newest[:-3:-1], strict=False):
        assert warning.startswith("rpojax: warning: ")
        assert checkpoint.name in warning
        assert warning.endswith("trying the one before")

    for damaged in newest:
        shutil.rmtree(damaged / "record")
    for command in ("eval", "resume"):
        finished = run(command, path)
        assert finished.status == 2
        assert "start a new run" in finished.err.splitlines()[-1]


def test_export_writes_the_policy_of_one_agent(trained, tmp_path):
    place = tmp_path / "policy.stablehlo"
    finished = run("export", trained.path, "--agent=1", f"--output={place}")
    path, contract = finished.out.split("\n", 1)
    assert (finished.status, path) == (0, str(place))
    found = rpojax.load(trained.path)
    training = json.loads(contract)["training"]
    assert (training["agent"], training["seed"], training["updates"]) == (1, 1, UPDATES)
    returns = np.asarray(found.metrics.episode_return[1])
    assert training["episode_return"] == pytest.approx(returns[np.isfinite(returns)][-1])
    policy = jax.export.deserialize(bytearray(place.read_bytes()))
    obs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 4.0]], np.float32)
    actions = []
    for index in (0, 1):
        actions.append(rpojax.make_policy(found.cfg, found.state(index))(obs))
    np.testing.assert_allclose(policy.call(obs), actions[1], rtol=1e-5)
    assert not np.allclose(actions[0], actions[1])


def test_export_writes_a_policy_for_numpy_into_the_run_directory(trained, tmp_path):
    path = trained.copy(tmp_path)
    finished = run("export", path, "--format=numpy", "--agent=1")
    assert finished.status == 0, finished.err
    file, contract = finished.out.split("\n", 1)
    assert (path / "policy_1.npz.json").read_text() == contract
    assert (path / "policy_1.py").exists()
    act, expected = rpojax.load_policy(file), rpojax.load(path).policy(1)
    obs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 4.0]], np.float32)
    np.testing.assert_allclose(act(obs)[0], expected(obs), atol=1e-5)


def test_export_writes_parameters_into_the_run_directory(trained, tmp_path):
    path = trained.copy(tmp_path)
    written = {}
    for part in ("all", "policy", "value"):
        finished = run("export", path, "--format=npz", f"--part={part}")
        assert finished.status == 0, finished.err
        file = Path(finished.out.strip())
        assert file.parent == path
        written[part] = set(np.load(file))
    assert "params/mean/kernel" in written["policy"] - written["value"]
    assert "params/value/kernel" in written["value"] - written["policy"]
    assert written["all"] == written["policy"] | written["value"]


def test_a_stochastic_export_wants_a_key(trained, tmp_path):
    place = tmp_path / "policy.stablehlo"
    assert run("export", trained.path, "--stochastic", f"--output={place}").status == 0
    policy = jax.export.deserialize(bytearray(place.read_bytes()))
    obs = np.zeros((1, 3), np.float32)
    first, second = (policy.call(obs, jax.random.key(seed)) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_render_writes_an_episode_with_its_last_state(trained, tmp_path):
    from PIL import Image

    place = tmp_path / "episode.gif"
    finished = run("render", trained.path, "--max-steps=5", f"--output={place}")
    assert (finished.status, finished.out.split()) == (0, [str(place)])
    with Image.open(place) as picture:
        frames = getattr(picture, "n_frames", 1)
        assert (picture.format, frames) == ("GIF", 6), "with the last state"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resume", "--total-timesteps=1000"], "total_timesteps = 1000 is less than the 3968"),
        (["resume", "--total-timesteps=5000", "--devices-per-agent=64"], "devices_per_agent = 64"),
        (["eval", "--episodes=0"], "episodes = 0 is not allowed"),
        (["eval", "--seed=-1"], "seed = -1 is not allowed"),
        (["export", "--agent=2"], "agent = 2 is not in this run; give 0 to 1"),
        (["export", "--agent=-1"], "agent = -1 is not allowed"),
        (["export", "--format=torch"], "'stablehlo', 'onnx', 'numpy', 'npz'"),
        (["export", "--part=value"], "part = 'value' picks parameters"),
        (["export", "--format=npz", "--stochastic"], "leave --stochastic out"),
        (["export", "--output=no/where"], "No such file or directory"),
        (["render", "--output=a.png"], "ends in neither .gif nor .mp4"),
        (["render", "--max-steps=0"], "max_steps = 0 is not allowed"),
        (["plot", "--metric=episode_returns"], "did you mean 'episode_return'?"),
        (["plot", "--output=a.gfi"], "'gfi' is not supported"),
    ],
)
def test_user_errors_about_a_run_print_one_line(args, message, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in run(*args, trained.path).complaint
    assert not list(tmp_path.iterdir())
