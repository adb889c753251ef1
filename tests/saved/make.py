"""How `tests/saved/run` was made: `python tests/saved/make.py DIRECTORY`.

It is never made again: `tests/runs/test_saved.py` shows that each later version reads its policies.
A new format of files gets a run of its own beside it.
"""

import json
import sys
from pathlib import Path

import numpy as np

import rpojax

OBSERVATIONS = [[1.0, 0.0, 0.0], [-1.0, 0.0, 2.0], [0.0, -1.0, -8.0]]


def main() -> None:
    directory = Path(sys.argv[1])
    cfg = rpojax.Config(
        env="Pendulum-v1",
        num_envs=2,
        num_steps=128,
        num_minibatches=2,
        update_epochs=2,
        total_timesteps=4 * 2 * 128,
        learning_rate=0.02,
        network=rpojax.NetworkConfig(hidden_sizes=(4,)),
    )
    result = rpojax.fit(
        cfg,
        seeds=[3, 4],
        hyperparams=cfg.hyperparams().replace(alpha=[0.1, 0.5]),
        eval_every=4,
        eval_episodes=2,
        checkpoint_dir=directory,
        keep_checkpoints=1,
    )
    run = rpojax.load(directory)
    expected = {
        "observations": OBSERVATIONS,
        "actions": [run.policy(agent)(np.float32(OBSERVATIONS)).tolist() for agent in (0, 1)],
        "returns": run.evaluate(2).episode_return.tolist(),
        "entropy": result.metrics.entropy.tolist(),
    }
    (directory / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
