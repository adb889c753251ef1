"""Presets: what they hold, where they are from, and how a config and the command take them."""

import pytest

import rpojax
from rpojax.cli import main
from rpojax.cli.command import parse
from rpojax.compat import from_cleanrl
from rpojax.presets.table import TABLE


def train(*args):
    return parse(["train", *args]).config.to_config()


@pytest.mark.parametrize("name", TABLE)
def test_preset_is_a_config_that_says_where_it_is_from(name):
    cfg = rpojax.Config.preset(name)
    for field, value in TABLE[name].settings.items():
        assert getattr(cfg, field) == value, field
    assert TABLE[name].source
    assert rpojax.Config.from_dict(cfg.to_dict()) == cfg


def test_paper_has_the_settings_of_cleanrl():
    assert rpojax.Config.preset("paper") == from_cleanrl({})


def test_tasks_of_gymnax_and_pendulums_have_presets_with_their_results():
    physics = [name for name in TABLE if name.startswith(("brax/", "mjx/"))]
    assert len(physics) >= 4
    for name in (*rpojax.envs.registry.names_of("gymnax"), *physics):
        assert rpojax.Config.preset(name).env == name
        assert f"over {4 if name in physics else 10} agents" in TABLE[name].result


def test_changes_take_precedence():
    cfg = rpojax.Config.preset("cleanrl", env="Reacher-misc", alpha=0.01)
    assert (cfg.env, cfg.alpha, cfg.num_steps) == ("Reacher-misc", 0.01, 2048)
    with pytest.raises(ValueError, match="unknown setting 'alpa'; did you mean 'alpha'"):
        rpojax.Config.preset("cleanrl", alpa=0.01)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clean", "unknown preset 'clean'; did you mean 'cleanrl'"),
        ("zzzz", "unknown preset 'zzzz'; known: paper, cleanrl, dm_control"),
    ],
)
def test_unknown_preset_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        rpojax.Config.preset(name)
    with pytest.raises(ValueError, match=message):
        train("--preset", name)


def test_preset_of_a_package_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr("rpojax.presets.named._has_playground", lambda: False)
    with pytest.raises(
        ValueError, match=r"mujoco_playground, .*pip install 'rpojax\[playground\]'"
    ):
        rpojax.Config.preset("playground/CheetahRun")
    assert set(rpojax.Config.presets()) == set(TABLE)


def test_flags_override_a_file_and_that_a_preset(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("gamma: 0.5\nalpha: 0.3\nnum_seeds: 2\n")
    assert train("--preset=cleanrl") == rpojax.Config.preset("cleanrl")
    both = ["--preset=cleanrl", f"--config={path}"]
    assert train(*both) == rpojax.Config.preset("cleanrl", gamma=0.5, alpha=0.3)
    changed = rpojax.Config.preset("cleanrl", gamma=0.5, alpha=0.1)
    assert train(*both, "--alpha=0.1") == changed
    assert parse(["train", *both]).num_seeds == 2


def test_a_file_may_name_a_preset_which_the_flag_replaces(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("preset: cleanrl\ngamma: 0.5\n")
    assert train(f"--config={path}") == rpojax.Config.preset("cleanrl", gamma=0.5)
    other = train(f"--config={path}", "--preset=Pendulum-v1")
    assert other == rpojax.Config.preset("Pendulum-v1", gamma=0.5)
    path.write_text("preset: cleanr\n")
    with pytest.raises(ValueError, match=f"^{path}: unknown preset 'cleanr'"):
        train(f"--config={path}")
    path.write_text("preset: [cleanrl]\n")
    with pytest.raises(ValueError, match=f"^{path}: preset = .* is not a name"):
        train(f"--config={path}")


def test_a_file_and_flags_change_a_part_of_a_presets_network(tmp_path, monkeypatch):
    network = {"hidden_sizes": (8,), "activation": "relu"}
    given = {"network": network, "env_params": {"g": 5.0, "m": 2.0}}
    monkeypatch.setitem(TABLE, "small", TABLE["cleanrl"]._replace(settings=given))
    path = tmp_path / "settings.yaml"
    path.write_text("preset: small\nnetwork: {activation: elu}\nenv_params: {g: 1.0}\n")
    cfg = train(f"--config={path}", "--network.log-std-init=-1")
    assert cfg.network == rpojax.NetworkConfig(
        hidden_sizes=(8,), activation="elu", log_std_init=-1.0
    )
    assert dict(cfg.env_params) == {"g": 1.0, "m": 2.0}


def test_an_error_of_a_presets_own_setting_is_on_one_line(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--preset=cleanrl", "--num-minibatches=7"])
    assert "num_minibatches = 7" in capsys.readouterr().err
