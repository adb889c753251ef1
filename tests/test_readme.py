"""The README's python blocks run, in their order, with less training; its links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

LESS = {
    "total_timesteps=500_000": "total_timesteps=16_384",
    "jax.random.key(0), 64)": "jax.random.key(0), 2)",
    "num_seeds=4": "num_seeds=2",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(blocks("python"))
    for long, short in LESS.items():
        assert long in text
        text = text.replace(long, short)
    exec(compile(text, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000


def test_commands_set_everything_up():
    commands = [block.strip() for block in blocks("bash")]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)
    assert commands[0].endswith(".venv/bin/rpojax train")
    assert commands[1].endswith(".venv/bin/pytest -n 2")


def test_relative_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert targets
    assert not missing
