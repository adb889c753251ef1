import builtins
import io
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from rpojax import Config, Metrics, NetworkConfig, Progress, TrainResult, fit
from rpojax.runs.progress_bar import ProgressBar, progress_shown
from rpojax.settings.agent_table import AgentTable, agent_table

CFG = Config(total_timesteps=1_000, num_envs=8, num_steps=16, num_minibatches=2)  # 7 updates


ALIKE = agent_table(CFG.hyperparams(), num_seeds=2)


def progress(updates: int, episode_return: list[list[float]], success: float = np.nan) -> Progress:
    """Of the agents whose returns these are; `success` is a metric of their environment."""
    values = np.asarray(episode_return, np.float32)
    steps = len(values) * updates * CFG.batch_size
    metrics = Metrics.filled(values).replace(environment={"success": np.full_like(values, success)})
    return Progress(
        updates=updates,
        steps=steps,
        agents=ALIKE,
        metrics=metrics,
        evaluation_return=None,
        device_bytes=3 * 2**20,
        compile_seconds=1.5,
        train_seconds=0.5,
        result=lambda: TrainResult(None, metrics, np.ones(2, bool)),
    )


def shown(
    *steps: Progress,
    terminal: bool,
    agents: AgentTable = ALIKE,
    encoding: str = "utf-8",
    metrics: tuple[str, ...] = (),
    seconds: float = 4.0,
) -> tuple[str, ProgressBar]:
    """What is shown of these steps, `seconds` apart."""
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    now = [0.0]
    with ProgressBar(CFG, agents, console, metrics, clock=lambda: now[0]) as bar:
        for each in steps:
            bar.show(each)
            now[0] += seconds
        jax.jit(lambda x: x + len(steps))(jnp.zeros(3)).block_until_ready()
    text.flush()
    return raw.getvalue().decode(encoding), bar


def test_the_bar_shows_steps_speed_and_the_return_over_agents():
    nan = np.nan
    text, _ = shown(progress(0, [[], []]), progress(2, [[1.0, nan], [5.0, 7.0]]), terminal=True)
    assert "512/1,792 steps of 2 agents   128 steps/s   10 s left" in text  # of all together
    assert "return 4.0 ± 3.0" in text
    assert text.count("1,000 steps are not whole updates of 128; each agent trains for 896.") == 1


def test_of_several_sets_of_hyperparameters_the_best_is_shown():
    hyperparams = CFG.hyperparams().replace(alpha=[0.0, 0.0, 0.1, 0.1, 0.5, 0.5])
    agents = agent_table(CFG.hyperparams(), hyperparams, seeds=[0, 1] * 3)
    nan = np.nan
    returns = [[-9.0], [-9.0], [-2.0], [-4.0], [nan], [nan]]
    text, _ = shown(progress(0, [[]] * 6), progress(1, returns), terminal=True, agents=agents)
    assert "return -3.0 ± 1.0 (alpha=0.1)" in text


def test_the_bar_is_drawn_on_an_ascii_terminal():
    text, _ = shown(progress(1, [[1.0], [7.0]]), terminal=True, encoding="ascii")
    assert "return 4.0 +- 3.0" in text


def test_no_episode_yet_is_no_return():
    nan = np.nan
    text, _ = shown(progress(0, [[], []]), progress(1, [[nan], [nan]]), terminal=True)
    assert "return -" in text
    assert "nan" not in text


def test_a_file_gets_lines_in_place_of_a_bar():
    """Ten seconds apart, later a tenth of the time so far; and the last state."""
    steps = [progress(updates, [[float(updates)], [float(updates)]]) for updates in range(8)]
    text, bar = shown(*steps, terminal=False)
    first, compiled, memory, *lines = text.splitlines()
    assert first == "1,000 steps are not whole updates of 128; each agent trains for 896."
    assert re.fullmatch(r"Set up in 1\.5 s, \d+\.\d s of them compiling\.", compiled)
    assert memory == "Training takes 3.0 MB of the device."
    done = [line.split("   ")[0].removesuffix("/1,792 steps of 2 agents") for line in lines]
    assert done == ["768", "1,536", "1,792"]
    assert lines[0].split("   ")[1:] == ["64 steps/s", "16 s left", "return 3.0 ± 0.0"]
    assert bar.summary.startswith(
        "3,584 steps/s while training, all agents together; set up in 1.5"
    )


def test_lines_become_rarer():
    steps = [progress(updates, [[0.0], [0.0]]) for updates in (0, *[1] * 99)]
    text, _ = shown(*steps, terminal=False, seconds=10.0)
    assert 15 < text.count("s left") < 40  # of 100


def test_metrics_that_are_asked_for_are_shown_beside_the_return():
    steps = progress(0, [[], []]), progress(1, [[1.0], [7.0]], success=0.25)
    text, _ = shown(*steps, terminal=False, metrics=("success", "kl"))
    assert text.splitlines()[-1].endswith("return 4.0 ± 3.0   success 0.25 ± 0   kl 4 ± 3")


@pytest.mark.slow
def test_fit_shows_progress_where_it_is_asked_for(capsys):
    cfg = CFG.replace(network=NetworkConfig(hidden_sizes=(4,)), update_epochs=1)
    fit(cfg, progress=["episode_length"])
    told = capsys.readouterr()
    assert told.out == ""
    last = told.err.splitlines()[-1]
    assert last.startswith("896/896 steps   ")
    assert " length -" in last
    fit(cfg)  # stderr is no terminal
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ValueError, match="unknown metric to show 'epsiode_length'; did you mean"):
        fit(cfg, progress="epsiode_length")
    with pytest.raises(ValueError, match="progress = 3 is not allowed; give True, False, or names"):
        fit(cfg, progress=3)


def test_a_terminal_shows_progress_unless_it_is_not_wanted(monkeypatch):
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    for wanted, changed in ((None, True), (False, False), (True, True)):
        with progress_shown(wanted, print, CFG, ALIKE, ()) as on_chunk:
            assert (on_chunk is not print) == changed


def test_a_notebook_gets_lines_in_place_of_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(builtins, "get_ipython", type("ZMQInteractiveShell", (), {}), raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as kernels of IPython do
    with progress_shown(None, None, CFG, ALIKE, ()) as on_chunk:
        for updates in range(1, 8):
            on_chunk(progress(updates, [[-800.0], [-400.0]]))
    told = capsys.readouterr().out
    assert told.splitlines()[-1].startswith("1,792/1,792 steps of 2 agents")
    assert "\x1b" not in told


def test_measures_are_of_all_agents_and_of_all_that_was_compiled():
    _, bar = shown(progress(2, [[1.0, 1.0], [2.0, 2.0]]), terminal=False)
    measures = bar.measures
    assert measures.pop("compile_seconds") > 0
    assert measures == {
        "steps": 512,
        "seconds": 0.5,
        "device_bytes": 3 * 2**20,
        "steps_per_second": 1024.0,
        "setup_seconds": 1.5,
    }


def test_where_nothing_was_left_to_train_there_is_nothing_to_measure():
    _, bar = shown(terminal=False)
    assert bar.summary == "nothing was left to train"
    assert bar.measures["seconds"] is bar.measures["steps"] is None
