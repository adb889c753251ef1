"""A checkpoint of a run in parts, each of which is read without the others.

* "policy": parameters and statistics, and the same of each agent at its best evaluation. With the
  record, which has the config and a description of the environment, they are what acting needs.
* "state": what else a training needs to go on: optimiser, environments, keys.
* "history": metrics, the loggers' records and, of a population, its evolution and current
  hyperparameters. A metric that a file lacks is NaN, and one that this version does not know is
  dropped with a warning.

So a new metric, or another version of an environment, leaves policies and curves readable.
"""

import functools
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from rpojax.core import normalize
from rpojax.core.model import Model, make_model
from rpojax.core.train import init_agent, make_parts
from rpojax.devices.host_arrays import to_host
from rpojax.devices.sharding import unpad
from rpojax.envs.base import Env
from rpojax.envs.description import describe_env, described_env
from rpojax.envs.params import params_of_agents
from rpojax.programs.agent_states import AgentStates
from rpojax.runs import storage
from rpojax.runs.run_state import Best, Records, RunState, blank_evolution, blank_metrics
from rpojax.runs.settings import RunSettings, settings_from_record, settings_to_record
from rpojax.runs.storage import Stored
from rpojax.settings.config import Config
from rpojax.types import PyTree, TrainState
from rpojax.version import __version__

PREFIX = "update_"  # of a checkpoint's name, before the updates as nine digits
POLICY_FIELDS = ("params", "obs_stats", "reward_stats", "value_stats", "update_count")
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


class Checkpoint(NamedTuple):
    """A checkpoint that was read whole and found undamaged."""

    path: Path
    model: Model
    run: RunState
    versions: dict[str, str]  # of the packages and the devices it was written with
    changed: bool = False  # whether the settings are others than those that were read


class Agents(NamedTuple):
    """The part "policy"."""

    state: TrainState  # [N, ...] with `POLICY_FIELDS` only; None elsewhere
    finite: np.ndarray  # bool[N]
    best: Best | None  # [N], likewise


def save(directory: Path, env: Env, run: RunState) -> Path:
    """Write a checkpoint of a run in this environment and return its path.

    Raises:
        OSError: it cannot be written.
    """
    path = directory / f"{PREFIX}{run.updates:09d}"
    record = {
        "updates": run.updates,
        "train_seconds": run.train_seconds,
        "evaluated": run.best is not None,
        "environment": describe_env(env),
        "settings": settings_to_record(run.settings),
        "versions": versions(),
    }
    policy, state = _split(run.states.state)
    parts: dict[str, dict[str, Any]] = {
        "policy": {"agents": policy, "finite": run.finite},
        "state": {"agents": state},
        "history": {
            "metrics": run.metrics_between(0, run.updates),
            "records": run.records.up_to(run.updates),
        },
    }
    if run.best is not None:
        best, parts["state"]["best"] = _split(run.best.state)
        parts["policy"]["best"] = run.best._replace(state=best)
    if run.settings.evolve is not None:
        parts["history"]["evolution"] = run.evolution_so_far()
        hyperparams = to_host(run.states.hyperparams)
        parts["history"]["hyperparams"] = unpad(hyperparams, len(run.settings.agents))
    rows = dict.fromkeys(("policy", "state"), len(run.settings.agents))
    storage.write(path, parts, record, rows)
    return path


def read(path: Path, cfg: Config | None = None) -> Checkpoint:
    """The whole checkpoint at `path`.

    Args:
        path: of the checkpoint.
        cfg: the run's config; None for the recorded one.

    Raises:
        DamagedCheckpointError: something in it is missing or changed.
        ValueError: it is undamaged, and was written with another config or needs one to be passed
            in; or this version of the package makes another state of that config.
    """
    stored = storage.opened(path)
    settings = settings_from_record(stored.record["settings"], cfg)
    model = make_model(settings.cfg)
    agents = read_policy(stored, settings, model)
    run = read_run(stored, settings, model, agents)
    return Checkpoint(path, model, run, stored.record["versions"])


def acting_model(stored: Stored, settings: RunSettings) -> Model:
    """The model of a run, in a description of its environment if that is enough to act."""
    return make_model(settings.cfg, described_env(stored.record["environment"]))


def read_policy(stored: Stored, settings: RunSettings, model: Model) -> Agents:
    """What acting needs of each agent; errors as `read`."""
    cfg, keys = model.cfg, settings.agents.keys()

    def blank(key: Any) -> TrainState:
        scalar = normalize.init_stats(jax.ShapeDtypeStruct((), jnp.float32))
        return _partial_state(
            params=model.network.init(key),
            obs_stats=normalize.init_stats(model.env.obs) if cfg.normalize_observations else None,
            reward_stats=scalar if cfg.normalize_rewards else None,
            value_stats=scalar if cfg.normalize_values else None,
            update_count=jnp.zeros((), jnp.int32),
        )

    state, finite, returns = jax.eval_shape(
        lambda: (jax.vmap(blank)(keys), jnp.ones(len(keys), bool), jnp.ones(len(keys)))
    )
    fields = _split(state)[0]
    expected: dict[str, PyTree] = {"agents": fields, "finite": finite}
    if stored.record["evaluated"]:
        expected["best"] = Best(fields, returns)
    tree = stored.read("policy", expected)
    best = tree.get("best")
    return Agents(
        state=_partial_state(**tree["agents"]),
        finite=tree["finite"],
        best=best and best._replace(state=_partial_state(**best.state)),
    )


def read_history(stored: Stored, settings: RunSettings) -> dict[str, Any]:
    """Metrics [N, updates], evolution and current hyperparameters; errors as `read`."""
    updates, count = stored.record["updates"], len(settings.agents)
    metrics = blank_metrics(count, updates, stored.record["environment"]["metrics"])
    expected: dict[str, Any] = {"metrics": metrics, "records": _records_before(stored, count)}
    if settings.evolve is not None:
        expected["evolution"] = blank_evolution(settings, updates)
        expected["hyperparams"] = jax.tree.map(np.asarray, settings.agents.hyperparams)
    return stored.read("history", expected, lenient=True)


def read_run(stored: Stored, settings: RunSettings, model: Model, agents: Agents) -> RunState:
    """The run, of which the part "policy" was read; errors as `read`."""
    table, record = settings.agents, stored.record
    params_of_agents(model.env, table.env_params)  # another environment may have others
    init = jax.vmap(functools.partial(init_agent, make_parts(model.on_one_device)))
    state = jax.eval_shape(init, table.keys(), table.hyperparams, dict(table.env_params))
    fields = _split(state)[1]
    expected = {"agents": fields}
    if agents.best is not None:
        expected["best"] = fields
    remedy = (
        "; its policy (`rpojax.load(...).policy()`) and its metrics can be read, and to train or "
        f"evaluate it, use the versions that wrote it ({_in_words(record['versions'])})"
    )
    tree, history = stored.read("state", expected, remedy=remedy), read_history(stored, settings)
    best, env_params = agents.best, cast(Any, dict(table.env_params))
    return RunState(
        settings=settings,
        states=AgentStates(
            state=agents.state.replace(**tree["agents"]),
            finite=jnp.asarray(agents.finite),
            hyperparams=history.get("hyperparams", table.hyperparams),
            env_params=env_params,
        ),
        finite=agents.finite,
        metrics=history["metrics"],
        evolution=history.get("evolution"),
        best=best and best._replace(state=best.state.replace(**tree["best"])),
        updates=record["updates"],
        train_seconds=record["train_seconds"],
        records=history["records"],
    )


def _records_before(stored: Stored, num_agents: int) -> Records:
    """What versions before 0.3 recorded of the loggers' records: when the last one ended."""
    updates, logged = stored.record["updates"], stored.record.get("logged")
    records = Records.blank(num_agents, updates)
    if logged:
        records.ended[logged - 1] = True
    evaluation = stored.record.get("unlogged_evaluation")
    if evaluation is not None:
        records.evaluation_return[:, updates - 1] = evaluation
    return records


def versions() -> dict[str, str]:
    """Versions and devices, on which the last bits of results depend."""
    device = jax.local_devices()[0]
    return (
        {"rpojax": __version__}
        | {name: metadata.version(name) for name in _PACKAGES}
        | {"devices": f"{jax.device_count()} x {device.platform}, {device.device_kind}"}
    )


def warn_of_other_versions(found: Checkpoint) -> None:
    """Warn where a run was trained so far with other versions, or on other devices."""
    now = versions()

    def differs(name: str) -> bool:
        before, after = found.versions.get(name, ""), now[name]
        if name == "devices" and found.model.cfg.agents_at_once == 1:  # any number will do
            before, after = before.partition(" x ")[2], after.partition(" x ")[2]
        return before != after

    changed = [
        f"{name} {found.versions.get(name)} is now {now[name]}" for name in now if differs(name)
    ]
    if changed:
        warnings.warn(
            f"{'; '.join(changed)}: the training resumes, and its last bits may differ",
            RuntimeWarning,
            stacklevel=3,
        )


def _split(state: TrainState) -> tuple[Any, Any]:
    """The fields of a state that acting needs, and the others."""
    fields = dict(vars(state))
    return {name: fields.pop(name) for name in POLICY_FIELDS}, fields


def _partial_state(**fields: Any) -> TrainState:
    """A state with these fields only, and None elsewhere."""
    every: dict[str, Any] = dict.fromkeys(TrainState.__dataclass_fields__)
    return TrainState(**every | fields)


def _in_words(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
