"""Policies in files for NumPy and ONNX: they act as `make_policy`, also where there is no JAX."""

import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_export import CFG, DIAL, Dial, agent, dial_observations
from toys import make_counter

import rpojax
from rpojax import Config, NetworkConfig, export_policy, load_policy
from rpojax.agent import contract as contracts
from rpojax.agent import exported, numpy_policy, proof
from rpojax.settings.network_config import Activation

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

STEPS, EPISODES = 50, 20


def config(base: Config = CFG, rescale: bool = False, **network) -> Config:
    transform = "rescale" if rescale else "clip"
    sizes = {"hidden_sizes": (16, 8), "cell_sizes": (8,)}
    network = NetworkConfig(**sizes | network)
    return base.replace(network=network, num_minibatches=2, action_transform=transform)


CASES = {
    "mlp": config(),
    "dict": config(DIAL),
    "tanh_gaussian and layer_norm": config(
        rescale=True, distribution="tanh_gaussian", layer_norm=True, state_dependent_log_std=True
    ),
    "beta and swish": config(
        CFG.replace(normalize_observations=False),
        rescale=True,
        distribution="beta",
        activation="swish",
        shared_torso=True,
    ),
    "lstm": config(cell="lstm", cell_sizes=(8, 6)),
    "gru": config(cell="gru", shared_torso=True, hidden_sizes=()),
    "bfloat16": config(dtype="bfloat16"),
}
TOLERANCE = dict.fromkeys(CASES, 1e-5) | {"bfloat16": 2e-2 * 4.0}

ELSEWHERE = """
import importlib.util, json, sys
place, packages = sys.argv[1:]
sys.path.insert(0, packages)
assert importlib.util.find_spec("jax") is None, "jax is importable"
import numpy as np
import onnxruntime

def with_numpy(name):
    spec = importlib.util.spec_from_file_location("policy", f"{place}/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(f"{place}/{name}.npz")

def with_onnx(name):
    contract = json.load(open(f"{place}/{name}.onnx.json"))
    session = onnxruntime.InferenceSession(f"{place}/{name}.onnx")
    def act(obs, carry):
        batch = len(next(iter(obs.values())))
        feeds = {each["input"]: obs[each["name"]] for each in contract["observations"]}
        for each in contract["carry"]:
            zeros = np.zeros((batch, *each["shape"]), each["dtype"])
            feeds[each["input"]] = zeros if carry is None else carry[each["name"]]
        names = [each["output"] for each in (contract["action"], *contract["carry"])]
        action, *after = session.run(names, feeds)
        return action, {each["name"]: x for each, x in zip(contract["carry"], after)}
    return act

differences = {}
for name in json.load(open(f"{place}/cases.json")):
    file = np.load(f"{place}/given_{name}.npz")
    obs = {key[4:]: file[key] for key in file if key.startswith("obs/")}
    for kind, policy in (("numpy", with_numpy(name)), ("onnx", with_onnx(name))):
        carry, worst = None, 0.0
        for step, reset in enumerate(file["reset"]):
            if carry is not None:
                carry = {key: np.where(reset[:, None], 0.0 * x, x) for key, x in carry.items()}
            action, carry = policy({key: x[step] for key, x in obs.items()}, carry)
            assert action.dtype == np.float32
            worst = max(worst, float(np.abs(action - file["action"][step]).max()))
        differences[f"{name} {kind}"] = worst
assert "jax" not in sys.modules
print(json.dumps(differences))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Each case, exported to both formats."""
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def agents(place):
    """The state of each case."""
    states = {name: agent(cfg) for name, cfg in CASES.items()}
    for name, cfg in CASES.items():
        export_policy(cfg, states[name], place / f"{name}.npz", format="numpy")
        export_policy(cfg, states[name], place / f"{name}.onnx", format="onnx")
    return states


@pytest.fixture(scope="module")
def differences(place, agents, tmp_path_factory):
    """The largest of each case and format, in an environment of numpy and onnxruntime alone."""
    rng = np.random.default_rng(1)
    reset = rng.random((STEPS, EPISODES)) < 0.1
    for name, cfg in CASES.items():
        model = rpojax.core.model.make_model(cfg)
        obs = proof._observations(model, agents[name], rng)
        act, carry, actions = rpojax.make_recurrent_policy(cfg, agents[name]), None, []
        for step in range(STEPS):
            at_step = jax.tree.map(lambda leaf: leaf[step], obs)  # noqa: B023
            action, carry = act(at_step, carry, reset[step])
            actions.append(action)
        given = {f"obs/{key}": leaf for key, leaf in contracts.named(obs).items()}
        np.savez(place / f"given_{name}.npz", reset=reset, action=np.stack(actions), **given)
    (place / "cases.json").write_text(json.dumps(list(CASES)))
    packages = tmp_path_factory.mktemp("packages")
    installed = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs", "onnxruntime"):
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE, str(place), str(packages)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


@pytest.mark.parametrize("kind", ["numpy", "onnx"])
@pytest.mark.parametrize("name", CASES)
def test_actions_are_those_of_make_policy_where_there_is_no_jax(name, kind, differences):
    assert 0.0 < differences[f"{name} {kind}"] <= TOLERANCE[name]


def test_the_copied_module_needs_numpy_only_and_is_short(place, agents):
    lines = (place / "mlp.py").read_text().splitlines()
    assert len(lines) < 120
    imports = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imports == {"json", "typing", "numpy"}
    assert (place / "mlp.py").read_text() == (place / "gru.py").read_text()


def test_a_module_of_the_users_is_not_replaced(agents, tmp_path):
    (tmp_path / "policy.py").write_text("mine = True")
    for name in ("policy.npz", "other.py"):
        with pytest.raises(ValueError, match=rf"{name}.* where another file is; give another name"):
            export_policy(CASES["mlp"], agents["mlp"], tmp_path / name, format="numpy")
    assert [path.name for path in tmp_path.iterdir()] == ["policy.py"]
    for _ in range(2):  # one's own export is
        export_policy(CASES["mlp"], agents["mlp"], tmp_path / "act.npz", format="numpy")


@pytest.mark.parametrize("activation", get_args(Activation))
def test_activations_are_those_of_jax(activation):
    name = NetworkConfig(activation=activation).activation
    x = np.linspace(-30.0, 30.0, 2001, dtype=np.float32)
    ours = numpy_policy.ACTIVATIONS[name](x)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, getattr(jax.nn, name)(x), rtol=2e-6, atol=2e-6)


def test_an_actor_is_not_fed_what_it_does_not_see(tmp_path):
    cfg = config(DIAL, actor_keys=("fine",), critic_keys=("coarse", "fine"))
    state = agent(cfg)
    export_policy(cfg, state, tmp_path / "p.npz", format="numpy")
    act = load_policy(tmp_path / "p.npz")
    assert [each["name"] for each in act.contract["observations"]] == ["fine"]
    fine = dial_observations(5)["fine"]
    full = rpojax.make_policy(cfg, state)(dial_observations(5))
    np.testing.assert_allclose(act({"fine": fine})[0], full, atol=1e-5)


def nested(coarse, fine):
    return {"obs": coarse, "arm": {"position": fine}}


def with_slash(coarse, fine):
    return {"obs": coarse, "arm/position": fine}


@pytest.mark.parametrize("container", [nested, with_slash])
def test_entries_of_dicts_are_taken_nested_or_by_their_names(container, tmp_path):
    class Named(Dial):
        pass

    Named.container = staticmethod(container)
    env = rpojax.envs.from_gymnax(Named())
    cfg = config(DIAL.replace(env=env))
    state = agent(cfg)
    obs = dial_observations(5)
    expected = rpojax.make_policy(cfg, state)(container(**obs))
    for kind in ("numpy", "stablehlo"):
        contract = export_policy(cfg, state, tmp_path / "p", format=kind)
        inputs = [each["input"] for each in contract["observations"]]
        assert inputs == ["obs/arm/position", "obs/obs"]
        act = load_policy(tmp_path / "p")
        for given in (nested(**obs), with_slash(**obs)):
            np.testing.assert_allclose(act(given)[0], expected, atol=1e-5)
        assert rpojax.play(act, env, realtime=False).evaluation.finished.all()


def test_an_actor_that_sees_one_entry_called_obs_is_given_that(tmp_path):
    env = rpojax.envs.from_gymnax(type("Named", (Dial,), {"container": staticmethod(with_slash)})())
    cfg = config(DIAL.replace(env=env), actor_keys=("obs",))
    export_policy(cfg, agent(cfg), tmp_path / "p", format="numpy")
    act = load_policy(tmp_path / "p")
    one = np.array(3)
    np.testing.assert_array_equal(act({"obs": one})[0], act(one)[0])
    assert rpojax.play(act, env, realtime=False).evaluation.finished.all()


@pytest.mark.parametrize("suffix", ["npz", "onnx"])
def test_any_leading_axes_and_a_carry_by_name(suffix, place, agents):
    act = load_policy(place / f"lstm.{suffix}")
    obs = np.random.default_rng(0).normal(size=(3, 2, 3)).astype(np.float32)
    action, carry = act(obs)
    assert action.shape == (3, 2, 1)
    assert {name: leaf.shape for name, leaf in carry.items()} == {
        "actor_lstm_0/c": (3, 2, 8), "actor_lstm_0/h": (3, 2, 8),
        "actor_lstm_1/c": (3, 2, 6), "actor_lstm_1/h": (3, 2, 6),
    }  # fmt: skip
    again = act(obs, carry)[0]
    one, of_one = act(obs[1, 1])
    np.testing.assert_allclose(one, action[1, 1], atol=1e-6)
    np.testing.assert_allclose(act(obs[1, 1], of_one)[0], again[1, 1], atol=1e-6)
    assert not np.allclose(again, action)
    reset = np.array([[True, False]] * 3)
    restarted = act(obs, carry, reset)[0]
    np.testing.assert_allclose(restarted[:, 0], action[:, 0], atol=1e-6)
    np.testing.assert_allclose(restarted[:, 1], again[:, 1], atol=1e-6)


def test_contract_says_what_goes_in_and_comes_out(place, agents):
    cfg, state = CASES["dict"], agents["dict"]
    contract = json.loads((place / "dict.onnx.json").read_text())
    coarse, fine = contract["observations"]
    assert (coarse["name"], coarse["shape"], coarse["dtype"]) == ("coarse", [], "int32")
    assert (fine["name"], fine["shape"], fine["input"]) == ("fine", [2, 1], "obs/fine")
    np.testing.assert_allclose(fine["mean"], state.obs_stats.mean["fine"])
    assert fine["clip"] == cfg.observation_clip
    assert contract["action"]["low"] == [-0.5, -0.5]
    assert contract["versions"]["rpojax"] == rpojax.__version__
    assert contract["proof"]["observations"] == 1000
    assert contract["proof"]["of_action_range"] <= contract["proof"]["allowed"] == 1e-4
    model = onnx.load(place / "dict.onnx")
    (inside,) = [p.value for p in model.metadata_props if p.key == "rpojax.contract"]
    assert json.loads(inside) == contract
    with np.load(place / "dict.npz") as file:
        inside = json.loads(str(file["contract"]))
    assert {**inside, "kind": "onnx", "proof": None} == {**contract, "proof": None}


def test_contract_of_a_robot_has_its_joints_and_its_period(tmp_path):
    robot = {"control_dt": 0.02, "joints": ("hip", "knee"), "actuators": ("left", "right")}
    cfg = config(CFG.replace(env=make_counter(**robot)))
    training = {"seed": np.int32(3), "returns": jnp.array([1.5, 2.0]), "mean": np.float32(1.75)}
    given = {"path": tmp_path / "p.npz", "format": "numpy", "training": training}
    contract = export_policy(cfg, agent(cfg), **given)
    assert contract["control_dt"] == 0.02
    assert contract["joints"] == ["hip", "knee"]
    assert contract["action"]["actuators"] == ["left", "right"]
    assert contract["training"] == {"seed": 3, "returns": [1.5, 2.0], "mean": 1.75}
    act = load_policy(tmp_path / "p.npz")
    assert (act.env.control_dt, act.env.action_high.tolist()) == (0.02, [1.0, 1.0])


def test_a_file_that_differs_is_not_written(agents, tmp_path, monkeypatch):
    right = exported._OPENERS["numpy"]

    def wrong(data, written):
        text, run = right(data, written)
        return text, lambda *given: (run(*given)[0] + 1e-3, run(*given)[1])

    monkeypatch.setitem(exported._OPENERS, "numpy", wrong)
    with pytest.raises(ValueError, match=r"differ from make_policy's by 0\.00025 of"):
        export_policy(CASES["mlp"], agents["mlp"], tmp_path / "p.npz", format="numpy")
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_express_is_refused(agents, tmp_path):
    state = agent(DIAL)
    with pytest.raises(ValueError, match="cannot be exported to NumPy, as its code is in JAX"):
        export_policy(DIAL, state, tmp_path / "p", format="numpy")
    with pytest.raises(ValueError, match="deterministic = False needs random numbers"):
        export_policy(
            CASES["mlp"], agents["mlp"], tmp_path / "p", format="onnx", deterministic=False
        )
    with pytest.raises(ValueError, match="format = 'torch' is not known; give one of 'stablehlo'"):
        export_policy(CASES["mlp"], agents["mlp"], tmp_path / "p", format="torch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("training", [{"return": np.nan}, {"path": Path()}, "text"])
def test_what_json_cannot_hold_of_the_training_is_refused(training, agents, tmp_path):
    with pytest.raises(
        ValueError, match=r"training = .* cannot be written as JSON .*; give a dict"
    ):
        export_policy(CASES["mlp"], agents["mlp"], tmp_path / "p", training=training)
    assert not list(tmp_path.iterdir())


def test_a_module_of_ones_own_goes_through_jax2onnx(tmp_path, monkeypatch):
    pytest.importorskip("jax2onnx")
    state = agent(DIAL)
    contract = export_policy(DIAL, state, tmp_path / "p.onnx", format="onnx")
    assert contract["proof"]["of_action_range"] < 1e-4
    action, _ = load_policy(tmp_path / "p.onnx")(dial_observations(7))
    expected = rpojax.make_policy(DIAL, state)(dial_observations(7))
    np.testing.assert_allclose(action, expected, atol=1e-5)


def test_without_jax2onnx_a_module_of_ones_own_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ValueError, match="jax2onnx is not installed; run: pip install jax2onnx"):
        export_policy(DIAL, agent(DIAL), tmp_path / "p.onnx", format="onnx")


def test_without_onnx_the_extra_is_named(agents, place, tmp_path, monkeypatch):
    remedy = r"is not installed; run: pip install 'rpojax\[onnx\]'"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=f"onnx {remedy}"):
        export_policy(CASES["mlp"], agents["mlp"], tmp_path / "p.onnx", format="onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=f"onnxruntime {remedy}"):
        load_policy(place / "mlp.onnx")


class Boom:
    def __reduce__(self):
        return os.system, ("touch boom",)


def damaged_files(place, tmp_path):
    """Files that are no policies, and what the error says of each besides its name."""
    good, network = (place / "mlp.npz").read_bytes(), (place / "mlp.onnx").read_bytes()

    def write(name, data):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    yield write("cut.npz", good[: len(good) // 2]), "damaged"
    yield write("cut.onnx", network[: len(network) // 2]), "damaged"
    yield write("noise.onnx", np.random.default_rng(0).bytes(1000)), "not an exported policy"
    yield write("empty.onnx", b""), "not an exported policy"
    yield write("pickled.npz", pickle.dumps(Boom())), "not an exported policy"
    np.savez(tmp_path / "objects.npz", contract=np.array([Boom()], object))
    yield tmp_path / "objects.npz", "allow_pickle"
    np.savez(tmp_path / "foreign.npz", weights=np.ones(3))
    yield tmp_path / "foreign.npz", "'contract'"
    model = onnx.load(place / "mlp.onnx")
    del model.metadata_props[:]
    yield write("foreign.onnx", model.SerializeToString()), "has no rpojax.contract"
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("contract.npy", bytes(exported.MOST_BYTES + 1))
    yield tmp_path / "bomb.npz", "a policy has at most 536,870,912"
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(exported.MOST_BYTES + 1)  # a hole, not written to the disk
    yield tmp_path / "huge.onnx", "bytes, and a policy has at most"


def test_damaged_foreign_and_huge_files_are_refused_by_name(place, agents, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, message in damaged_files(place, tmp_path):
        with pytest.raises(ValueError, match=re.escape(path.name)) as error:
            load_policy(path)
        assert message in str(error.value), path.name
    assert not Path("boom").exists(), "code in a file was run"


def test_weights_outside_of_the_file_are_not_read(place, agents, tmp_path):
    model = onnx.load(place / "mlp.onnx")
    onnx.save(
        model, tmp_path / "p.onnx", save_as_external_data=True, size_threshold=0, location="weights"
    )
    with pytest.raises(ValueError, match=r"p\.onnx' is not an exported policy"):
        load_policy(tmp_path / "p.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["observations"][0].update(shape=[4]),
            r"has observations .*\[3\].*beside it.*\[4\]",
        ),
        (lambda c: c["observations"][0].update(name="state"), "'obs'.* beside it .*'state'"),
        (lambda c: c.update(format="rpojax policy 0"), "its format is 'rpojax policy 0'"),
        (lambda c: c.pop("carry"), r"it has no \['carry'\]"),
    ],
)
def test_another_contract_beside_a_file_is_an_error_by_name(
    change, message, place, agents, tmp_path
):
    contract = json.loads((place / "mlp.onnx.json").read_text())
    change(contract)
    (tmp_path / "mlp.onnx").write_bytes((place / "mlp.onnx").read_bytes())
    (tmp_path / "mlp.onnx.json").write_text(json.dumps(contract))
    with pytest.raises(ValueError, match=f"(?s)mlp.onnx.*{message}"):
        load_policy(tmp_path / "mlp.onnx")


def test_a_program_takes_keys_by_name_in_any_order_of_the_contract(place, agents, tmp_path):
    contract = export_policy(CASES["dict"], agents["dict"], tmp_path / "p")
    contract["observations"].reverse()
    contracts.contract_path(tmp_path / "p").write_text(json.dumps(contract))
    found, expected = (load_policy(path)(dial_observations(5))[0] for path in
                       (tmp_path / "p", place / "dict.npz"))  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_contract_that_the_file_does_not_keep_is_refused(place, agents, tmp_path):
    model = onnx.load(place / "mlp.onnx")
    (entry,) = model.metadata_props
    entry.value = entry.value.replace('"shape": [ 3 ]', '"shape": [ 4 ]')
    (tmp_path / "p.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"p\.onnx' .*invalid dimensions for input: obs"):
        load_policy(tmp_path / "p.onnx")


def test_observations_of_other_names_or_shapes_are_refused(place, agents):
    act = load_policy(place / "dict.onnx")
    obs = dial_observations(3)
    for wrong, message in (
        ({"coarse": obs["coarse"]}, "fine"),
        (obs | {"extra": obs["fine"]}, "extra"),
        (obs | {"fine": obs["fine"][:, :1]}, r"obs has the shape .*\(3, 1, 1\)"),
    ):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            act(wrong)
    with pytest.raises(ValueError, match="carry"):
        load_policy(place / "gru.npz")(np.zeros(3), {"h": np.zeros(8)})
