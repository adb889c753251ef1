import io

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from rpojax import Config, Metrics, Progress, TrainResult
from rpojax.report.progress_bar import ProgressBar
from rpojax.settings.agent_table import AgentTable, agent_table

CFG = Config(total_timesteps=1_000, num_envs=8, num_steps=16, num_minibatches=2)  # 7 updates


ALIKE = agent_table(CFG.hyperparams(), num_seeds=2)


def progress(updates: int, episode_return: list[list[float]]) -> Progress:
    """Of the agents whose returns these are."""
    values = np.asarray(episode_return, np.float32)
    steps = len(values) * updates * CFG.batch_size
    metrics = Metrics.filled(values)
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
    *steps: Progress, terminal: bool, agents: AgentTable = ALIKE, encoding: str = "utf-8"
) -> tuple[str, ProgressBar]:
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    with ProgressBar(CFG, agents, console) as bar:
        for each in steps:
            bar.show(each)
        jax.jit(lambda x: x + len(steps))(jnp.zeros(3)).block_until_ready()
    text.flush()
    return raw.getvalue().decode(encoding), bar


def test_the_bar_shows_steps_speed_and_the_return_over_agents():
    nan = np.nan
    text, _ = shown(progress(0, [[], []]), progress(2, [[1.0, nan], [5.0, 7.0]]), terminal=True)
    assert "256/896 steps" in text
    assert "1,024 steps/s" in text
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


def test_a_file_gets_no_bar():
    text, bar = shown(progress(0, [[], []]), progress(1, [[1.0], [2.0]]), terminal=False)
    assert text == (
        "1,000 steps are not whole updates of 128; each agent trains for 896.\n"
        "Training takes 3.0 MB of the device.\n"
    )
    assert bar.summary.startswith("512 steps/s, all agents together; set up in 1.5 s, compiled in ")


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
