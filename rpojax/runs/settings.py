"""What `fit` is told about a run, checked: all that `resume` has to know beside the state."""

import dataclasses

import numpy as np

from rpojax.config import Config
from rpojax.hyperparams import HyperParams
from rpojax.validation import whole_number


def tenth_of(cfg: Config) -> int:
    """Updates between checkpoints where nothing else is asked for."""
    return max(1, round(cfg.num_updates / 10))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """A run of S agents; raises ValueError for what cannot be, with the remedy."""

    cfg: Config
    num_seeds: int  # S
    seed: int
    hyperparams: HyperParams | None  # each f32[]; None: the config's own
    log_every: int  # updates; 0 = off
    eval_every: int  # updates; 0 = off
    eval_episodes: int  # for each seed
    checkpoint_every: int  # updates; 0 = at the end only
    keep_checkpoints: int  # newest ones, beside the best

    def __post_init__(self) -> None:
        for name in ("num_seeds", "eval_episodes", "keep_checkpoints"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name)))
        for name in ("log_every", "eval_every", "checkpoint_every", "seed"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least=0))
        if self.hyperparams is not None:
            _require_scalars(self.hyperparams)


def _require_scalars(hyperparams: HyperParams) -> None:
    """Raise ValueError for a hyperparameter out of range or with an axis."""
    if not isinstance(hyperparams, HyperParams):
        raise ValueError(
            f"hyperparams = {hyperparams!r} is not a HyperParams; make one with cfg.hyperparams()"
        )
    hyperparams.check()
    for name, value in vars(hyperparams).items():
        if np.ndim(value):
            raise ValueError(
                f"hyperparams.{name} has shape {np.shape(value)}, and fit trains with one value; "
                "for a sweep, vmap make_train(cfg) with HyperParams.axes"
            )
