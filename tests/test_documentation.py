"""What the README and the guides in docstrings show works: examples, commands, links."""

import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from shortened import FEW_STEPS, with_fewer_steps

import rpojax
from rpojax.cli import main
from rpojax.cli.command import parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "benchmarks/results/rpo/tables.md")
GUIDES = ("agent", "compat", "envs", "networks", "presets", "programs", "runs", "studies")


def guide(name: str) -> str:
    return importlib.import_module(f"rpojax.{name}").__doc__


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def with_less_training(text: str) -> str:
    text = re.sub(r"(num_seeds[=:] ?)\d+", r"\g<1>2", with_fewer_steps(text))
    return text.replace("jax.random.key(0), 64)", "jax.random.key(0), 8)")


COMMANDS = blocks("console", guide("cli"))[0].splitlines()


def run(text: str, name: str) -> None:
    exec(compile(text, name, "exec"), {"__name__": "documentation"})


@pytest.mark.slow
def test_examples_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(with_less_training("\n".join(blocks("python"))), "README.md")
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_examples_of_a_guide_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = blocks("python", guide(name))
    assert examples
    run(with_less_training("\n".join(examples)), name)


@pytest.mark.slow
def test_commands_run(tmp_path, monkeypatch):
    """Each line, one after the other in an empty directory."""
    monkeypatch.chdir(tmp_path)
    Path("alpha.yaml").write_text(with_less_training(blocks("yaml", guide("studies"))[0]))
    Path("settings.yaml").write_text("env: Pendulum-v1\nnum_envs: 8\n")
    for line in COMMANDS:
        program, *words = shlex.split(line, comments=True)
        assert program == "rpojax"
        if words[0] == "train":
            words += ["--total-timesteps", str(FEW_STEPS)]
        if words[0] == "plot":
            shutil.copytree("runs/first", "runs/second")
        main(words)
    assert Path("runs/first/metrics.csv").exists()
    assert Path("pendulum.gif").exists()


def test_commands_of_the_readme_are_those_of_the_guide():
    (shown,) = blocks("console")
    assert set(shown.splitlines()) < set(COMMANDS)


def test_the_job_for_slurm_is_a_script_of_commands_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cheetah.yaml").write_text("num_envs: 32\n")
    (script,) = blocks("shell", guide("devices.processes"))
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    (command,) = re.findall(r"srun rpojax (.*)", script)
    parsed = parse(shlex.split(command))
    assert type(parsed).__name__ == "Train"


def test_every_example_is_python():
    for name in GUIDES:
        for block in blocks("py", guide(name)):
            compile(block, name, "exec")


def test_commands_set_everything_up():
    commands = [block.strip() for block in blocks("bash")]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)
    assert commands[0].endswith(".venv/bin/rpojax train")
    assert commands[1].endswith('.venv/bin/pytest -n 2 -m "not slow"')


def headings(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page):
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", path.read_text())
    for file, anchor in targets:
        target = path.parent / file if file else path
        assert target.exists(), file
        assert not anchor or anchor in headings(target), anchor


def test_modules_that_contributing_names_exist():
    names = re.findall(r"`([\w/]+(?:\.py|/))`", (ROOT / "CONTRIBUTING.md").read_text())
    assert names
    for name in names:
        assert (ROOT / name).exists() or any((ROOT / "rpojax").rglob(name.strip("/"))), name


def test_version_changelog_and_citation_agree():
    """Between releases the version is that of the next one, and the changelog tells what is new."""
    sections = re.findall(r"^## \[(.+?)\](?: - (.+))?$", CHANGELOG, flags=re.MULTILINE)
    unreleased = sections[0] == ("Unreleased", "")
    assert rpojax.__version__.endswith(".dev0") == unreleased
    newest, date = sections[unreleased]
    assert unreleased or rpojax.__version__ == newest
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], str(citation["date-released"])) == (newest, date)


def test_the_readme_is_short():
    assert len(README.splitlines()) < 250
