"""CleanRL's arguments as a Config."""

import argparse
import dataclasses

import pytest

from rpojax import Config, NetworkConfig
from rpojax.compat import from_cleanrl


@dataclasses.dataclass
class Args:
    """Of CleanRL's rpo_continuous_action.py, with its defaults."""

    exp_name: str = "rpo_continuous_action"
    seed: int = 1
    torch_deterministic: bool = True
    cuda: bool = True
    track: bool = False
    wandb_project_name: str = "cleanRL"
    wandb_entity: str | None = None
    capture_video: bool = False
    env_id: str = "HalfCheetah-v4"
    total_timesteps: int = 8000000
    learning_rate: float = 3e-4
    num_envs: int = 1
    num_steps: int = 2048
    anneal_lr: bool = True
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 32
    update_epochs: int = 10
    norm_adv: bool = True
    clip_coef: float = 0.2
    clip_vloss: bool = True
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    target_kl: float | None = None
    rpo_alpha: float = 0.5
    batch_size: int = 0
    minibatch_size: int = 0
    num_iterations: int = 0


AS_CLEANRL = Config(
    env="HalfCheetah-v4",
    total_timesteps=8_000_000,
    num_envs=1,
    num_steps=2048,
    update_epochs=10,
    num_minibatches=32,
    network=NetworkConfig(hidden_sizes=(64, 64), activation="tanh"),
    learning_rate=3e-4,
    alpha=0.5,
    gamma=0.99,
    gae_lambda=0.95,
    clip_eps=0.2,
    value_clip=0.2,
    vf_coef=0.5,
    ent_coef=0.0,
    max_grad_norm=0.5,
    kl_threshold=0.0,
    lr_schedule="linear",
    adam_eps=1e-5,
    clip_value_loss=True,
    advantage_normalization="minibatch",
    normalize_observations=True,
    normalize_rewards=True,
    normalize_values=False,
    observation_clip=10.0,
    reward_clip=10.0,
    perturb_rollouts=False,
    action_transform="clip",
    time_limit_bootstrap=False,
)


@pytest.mark.parametrize(
    "args",
    [Args(), argparse.Namespace(**vars(Args())), vars(Args()), {"env_id": "HalfCheetah-v4"}],
    ids=["dataclass", "namespace", "dictionary", "defaults"],
)
def test_arguments_come_in_each_form(args):
    assert from_cleanrl(args) == AS_CLEANRL


CHANGES = {
    "env_id": ("Pendulum-v1", {"env": "Pendulum-v1"}),
    "total_timesteps": (4096, {"total_timesteps": 4096}),
    "learning_rate": (1e-3, {"learning_rate": 1e-3}),
    "num_envs": (2, {"num_envs": 2}),
    "num_steps": (1024, {"num_steps": 1024}),
    "anneal_lr": (False, {"lr_schedule": "constant"}),
    "gamma": (0.9, {"gamma": 0.9}),
    "gae_lambda": (0.9, {"gae_lambda": 0.9}),
    "num_minibatches": (16, {"num_minibatches": 16}),
    "update_epochs": (2, {"update_epochs": 2}),
    "norm_adv": (False, {"advantage_normalization": "none"}),
    "clip_coef": (0.1, {"clip_eps": 0.1, "value_clip": 0.1}),
    "clip_vloss": (False, {"clip_value_loss": False}),
    "ent_coef": (0.1, {"ent_coef": 0.1}),
    "vf_coef": (1.0, {"vf_coef": 1.0}),
    "max_grad_norm": (1.0, {"max_grad_norm": 1.0}),
    "target_kl": (0.02, {"kl_threshold": 0.02}),
    "rpo_alpha": (0.01, {"alpha": 0.01}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_argument_changes_its_fields_alone(name):
    value, fields = CHANGES[name]
    assert from_cleanrl(dataclasses.replace(Args(), **{name: value})) == AS_CLEANRL.replace(
        **fields
    )


def test_all_other_arguments_are_of_a_run_and_have_no_effect():
    others = {field.name for field in dataclasses.fields(Args)} - set(CHANGES)
    assert from_cleanrl(vars(Args()) | dict.fromkeys(others, "changed")) == AS_CLEANRL


def test_changes_take_precedence():
    cfg = from_cleanrl(Args(), env="Pendulum-v1", alpha=0.1, perturb_rollouts=True)
    assert cfg == AS_CLEANRL.replace(env="Pendulum-v1", alpha=0.1, perturb_rollouts=True)
    assert from_cleanrl({"gamma": "bad"}, gamma=0.9).gamma == 0.9


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            {"clip_coeff": 1},
            "unknown argument of CleanRL's RPO 'clip_coeff'; did you mean 'clip_",
        ),
        ({"rpo_alpha": -1}, r"alpha = -1 is out of range.*\(alpha is set by 'rpo_alpha'\)"),
        ({"clip_coef": 0.0}, "clip_eps = 0 is out of range.*is set by 'clip_coef'"),
        ({"target_kl": 0.0}, "target_kl = 0 is out of range"),
        ({"anneal_lr": "yes"}, "anneal_lr = 'yes' is not a truth value"),
        ({"norm_adv": 1}, "norm_adv = 1 is not a truth value"),
        ([1], r"args = \[1\] is not a dictionary"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused_with_the_remedy(args, message):
    with pytest.raises(ValueError, match=message):
        from_cleanrl(args)
