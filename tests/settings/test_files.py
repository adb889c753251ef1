"""Settings files: their formats, and what each of them refuses."""

import pytest

from rpojax.settings.files import load_settings_file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "alpha: 1e-1\nnum_envs: 0x10\nnetwork:\n  hidden_sizes: [8, 8]\n"),
        ("a.yml", "{alpha: .1, num_envs: 16, network: {hidden_sizes: [8, 8]}}"),
        ("a.TOML", "alpha = 0.1\nnum_envs = 16\n[network]\nhidden_sizes = [8, 8]\n"),
        ("a.json", '{"alpha": 0.1, "num_envs": 16, "network": {"hidden_sizes": [8, 8]}}'),
    ],
)
def test_each_format_holds_the_same_settings(name, text, tmp_path):
    path = tmp_path / name
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text(text, encoding)
        settings = load_settings_file(path)
        assert settings == {"alpha": 0.1, "num_envs": 16, "network": {"hidden_sizes": [8, 8]}}


@pytest.mark.parametrize("text", ["", "# nothing", "null"])
def test_empty_yaml_holds_no_settings(text, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert load_settings_file(path) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "alpha: 1\nalpha: 1", "as YAML: 'alpha' is given twice; give it once"),
        ("a.yaml", "network: {cell: gru, cell: gru}", "'cell' is given twice"),
        ("a.yaml", "1: a\n1: b", "1 is given twice"),
        ("a.yaml", "[a]: 1", "unhashable"),
        ("a.yaml", "a: !!timestamp x", "cannot be read as YAML"),
        ("a.yaml", "a: !!python/object:os.system x", "cannot be read as YAML"),
        ("a.yaml", "a: &x [1]\nb: [*x, *x]", "line 2 has an alias; write its value instead"),
        ("a.yaml", "a: 1\n---\nb: 2", "cannot be read as YAML"),
        ("a.yaml", "[" * 10_000, "nested too deeply"),
        ("a.json", '{"alpha": 1, "network": {"cell": 1, "cell": 2}}', "'cell' is given twice"),
        ("a.json", '{"a":' * 100_000, "nested too deeply"),
        ("a.json", f'{{"a": {"1" * 5000}}}', "cannot be read as JSON"),
        ("a.toml", "a = 1\na = 2", "cannot be read as TOML"),
        ("a.toml", "a = " + "[" * 10_000, "nested too deeply"),
        ("a.toml", "a = 1979-99-99", "cannot be read as TOML"),
        ("a.toml", "a 4", "cannot be read as TOML"),
        ("a.toml", "\udcff", "cannot be read as TOML"),
        ("a.json", "{", "cannot be read as JSON"),
    ],
)
def test_text_that_a_format_refuses_is_a_value_error_that_names_the_file(
    name, text, message, tmp_path
):
    path = tmp_path / name
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=f"config = '{path}' cannot be read as .*") as raised:
        load_settings_file(path)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_envs: 2\nnetwork:\n", "network must be names with their values, such as hidden"),
        ("network: 3\n", "network must be names"),
        ("- 1\n", "settings must be names with their values, such as num_envs: 64"),
    ],
)
def test_what_holds_no_names_is_refused(text, message, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"config = '{path}': {message}"):
        load_settings_file(path)


def test_missing_file_is_named_in_words(tmp_path):
    path = tmp_path / "no.yaml"
    with pytest.raises(ValueError, match=f"config = '{path}' does not exist; give the path"):
        load_settings_file(path)


def test_suffix_of_no_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"give a file that ends in one of .yaml, .yml, .toml, .j"):
        load_settings_file(tmp_path / "a.txt")
