import errno
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import killed
import numpy as np
import pytest

from rpojax.files import clear_remains
from rpojax.runs import checkpoint_manager, storage
from rpojax.runs.storage import DamagedCheckpointError
from rpojax.trees import is_key

TREE = {
    "layers": [{"w/b": np.linspace(0.0, 1.0, 600, dtype=np.float32).reshape(2, 300)}, {}],
    "keys": jax.random.split(jax.random.key(3), 2),
    "old keys": jax.random.split(jax.random.PRNGKey(3), 2),
    "half": jnp.ones((2, 3), jnp.bfloat16) / 3,
    "flags": np.array([True, False]),
    "nothing": np.zeros((2, 0), np.int32),
    "none": None,
    "number": np.float32(1.5),
    "broken": np.array([np.nan, np.inf, -0.0], np.float32),
}
OTHER = {"x": np.arange(4.0)}
RECORD = {"updates": 3, "pi": 3.141592653589793, "name": "é", "list": [1, None]}


def kinds_and_bytes(tree):
    unkeyed = jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, tree)
    return [
        (leaf.dtype, leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(unkeyed)
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("storage") / "update_000000003"
    storage.write(path, {"tree": TREE, "other": OTHER}, RECORD)
    return path


def files(path):
    return sorted(file.relative_to(path) for file in path.rglob("*") if file.is_file())


def test_what_was_written_is_read_bit_for_bit(written):
    stored = storage.opened(written)
    tree = stored.read("tree", TREE)
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    assert kinds_and_bytes(tree) == kinds_and_bytes(TREE)
    assert tree["keys"].dtype == TREE["keys"].dtype
    assert kinds_and_bytes(stored.read("other", OTHER)) == kinds_and_bytes(OTHER)
    assert stored.record == RECORD


def test_keys_of_another_kind_come_back_as_they_were(tmp_path):
    tree = {"key": jax.random.key(0, impl="rbg")}
    storage.write(tmp_path / "update", {"keys": tree}, {})
    assert storage.opened(tmp_path / "update").read("keys", tree)["key"] == tree["key"]


@pytest.mark.parametrize("name", ["[a]", "a*", "?", "{a} %20"])
def test_name_that_is_a_pattern_is_a_name(tmp_path, name):
    path = tmp_path / name / "update"
    path.parent.mkdir()
    storage.write(path, {"tree": TREE}, RECORD)
    assert kinds_and_bytes(storage.opened(path).read("tree", TREE)) == kinds_and_bytes(TREE)


def test_writing_again_replaces_what_was_there_and_leaves_nothing_else(tmp_path):
    for value in (1.0, 2.0):
        storage.write(tmp_path / "update", {"tree": {"x": np.full(2, value)}}, {"value": value})
    assert storage.opened(tmp_path / "update").record == {"value": 2.0}
    assert [entry.name for entry in tmp_path.iterdir()] == ["update"]


def test_another_structure_shape_or_dtype_than_expected_is_named(written):
    stored = storage.opened(written)
    less = {name: leaf for name, leaf in TREE.items() if name != "half"}
    for expected, message in (
        (
            TREE | {"flags": np.zeros(3, bool)},
            r"\['flags'\] in its part 'tree' is bool\[2\], where",
        ),
        (TREE | {"flags": np.zeros(2, np.int8)}, r"bool\[2\], where .* expects int8\[2\]; do this"),
        (TREE | {"more": np.zeros(1)}, r"\['more'\] .* is absent, where .* expects float64\[1\]"),
        (less, r"\['half'\] in its part 'tree' is bfloat16\[2, 3\], where .* expects absent"),
    ):
        with pytest.raises(ValueError, match=f"undamaged, but .*{message}"):
            stored.read("tree", expected, remedy="; do this")


def test_lenient_reading_fills_in_what_is_absent_and_drops_what_is_unknown(written):
    stored = storage.opened(written)
    expected = {name: leaf for name, leaf in TREE.items() if name != "half"}
    expected |= {"more": np.full(3, 7)}
    with pytest.warns(RuntimeWarning, match=r"holds \['half'\] in its part 'tree', which this ver"):
        tree = stored.read("tree", expected, lenient=True)
    assert kinds_and_bytes(tree) == kinds_and_bytes(expected)
    with pytest.raises(ValueError, match=r"\['flags'\] in its part 'tree' is bool\[2\], where"):
        stored.read("tree", TREE | {"flags": np.zeros(3, bool)}, lenient=True)


@pytest.mark.parametrize(("number", "remedy"), [(1, "; its training"), (99, ", or a newer")])
def test_files_of_another_format_are_refused_by_name(tmp_path, monkeypatch, number, remedy):
    monkeypatch.setattr(storage, "FORMAT", number)
    storage.write(tmp_path / "update", {}, {"versions": {"rpojax": "9.8"}})
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"the format {number}, .*wrote it \(9\.8\){remedy}"):
        storage.opened(tmp_path / "update")


def damaged_copies(written, directory):
    """Copies of a checkpoint in each of which one file has one other byte, is cut or is gone."""
    for file in files(written):
        size = (written / file).stat().st_size
        places = sorted({0, size // 3, 2 * size // 3, size - 1}) if size else []
        for harm in [*places, "cut", "gone"]:
            copy = directory / "update_000000003"
            shutil.copytree(written, copy)
            target = copy / file
            content = bytearray(target.read_bytes())
            if harm == "gone":
                target.unlink()
            elif harm == "cut":
                target.write_bytes(content[: size // 2])
            else:
                content[harm] ^= 0x10
                target.write_bytes(content)
            yield f"{file}, {harm}", copy
            shutil.rmtree(copy)


@pytest.mark.slow
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_no_damage_to_any_file_is_ever_read_as_something_else(written, tmp_path):
    noticed = {}
    for what, copy in damaged_copies(written, tmp_path):
        try:
            stored = storage.opened(copy)
            tree, other = stored.read("tree", TREE), stored.read("other", OTHER)
        except DamagedCheckpointError as error:
            noticed[what] = str(error)
        else:  # a file that adds nothing to the content, such as a time stamp
            assert stored.record == RECORD, what
            assert kinds_and_bytes((tree, other)) == kinds_and_bytes((TREE, OTHER)), what
    assert all("is damaged: " in told and "\n" not in told for told in noticed.values())
    damaged_files = {what.split(",")[0] for what in noticed}
    assert "record/metadata" in damaged_files
    for part in ("tree", "other"):
        data = {f"{part}/{file}" for file in files(written / part) if "d" in file.parts}
        assert f"{part}/manifest.ocdbt" in damaged_files
        assert data & damaged_files


def test_full_disk_is_an_oserror_that_says_so_and_harms_nothing(written, tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    def fail(self, path, **_):
        raise OSError(errno.ENOSPC, "No space left on device")

    shutil.copytree(written, tmp_path / "update_000000003")
    monkeypatch.setattr(ocp.Checkpointer, "save", fail)
    with pytest.raises(OSError, match=r"update_000000004 could not be written: No space left on d"):
        storage.write(tmp_path / "update_000000004", {"tree": TREE}, RECORD)
    assert [entry.name for entry in tmp_path.iterdir()] == ["update_000000003"]


SMALL_DISK = """
    import sys
    from pathlib import Path
    import numpy as np
    from rpojax.runs import storage
    tree = {"x": np.random.default_rng(0).normal(size=100_000)}
    written, directory = [], Path(sys.argv[1])
    try:
        for n in range(100):
            storage.write(directory / f"update_{n:09d}", {"tree": tree}, {"n": n})
            written.append(n)
    except OSError as error:
        assert str(error).endswith("could not be written: No space left on device"), error
    assert sorted(p.name for p in directory.iterdir()) == [f"update_{n:09d}" for n in written]
    for n in written:
        path = directory / f"update_{n:09d}"
        stored = storage.opened(path)
        assert stored.record == {"n": n}
        np.testing.assert_array_equal(stored.read("tree", tree)["x"], tree["x"])
    print(len(written))
"""


@pytest.mark.slow
def test_disk_that_is_really_full(tmp_path):
    mount = ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs -o size=3m none "$0" && exec "$@"']
    mount.append(str(tmp_path))
    if (
        not shutil.which("unshare")
        or subprocess.run([*mount, "true"], capture_output=True).returncode
    ):
        pytest.skip("this system lets no user mount a file system")
    run = subprocess.run(
        [*mount, sys.executable, "-c", textwrap.dedent(SMALL_DISK), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert 1 <= int(run.stdout) < 100


@pytest.mark.slow
def test_twenty_kills_lose_no_checkpoint_that_was_saved(tmp_path):
    rng = np.random.default_rng(0)
    newest = 0
    for _ in range(20):
        process, told = killed.start(killed.save_without_end, str(tmp_path), newest + 1)
        assert told.poll(60)
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        process.join(60)
        saved = killed.last_message(told)

        paths = checkpoint_manager.checkpoint_paths(tmp_path)
        newest = int(paths[-1].name.removeprefix("update_"))
        assert newest in (saved, saved + 1)  # killed between saving and telling
        assert len(paths) <= killed.SETTINGS.keep_checkpoints + 1  # killed while removing
        for path in paths:
            expected = killed.made_up(int(path.name.removeprefix("update_")))
            stored, params = storage.opened(path), expected.states.state.params
            agents = {"params": params, "update_count": np.full(2, expected.updates)}
            best = expected.best._replace(state=agents)
            policy = {"agents": agents, "finite": expected.finite, "best": best}
            history = {"metrics": expected.metrics, "records": expected.records}
            for part, tree in (("policy", policy), ("history", history)):
                assert kinds_and_bytes(stored.read(part, tree)) == kinds_and_bytes(tree)
            assert stored.record["updates"] == expected.updates
    assert newest >= 20


def test_remains_are_cleared_and_checkpoints_stay(tmp_path):
    names = {"update_000000001": True, "notes": True}
    names |= {"update_000000002.draft": False, "update_000000000.discarded": False}
    names |= {"update_000000003.draft.orbax-checkpoint-tmp": False}
    for name in names:
        (tmp_path / name / "inside").mkdir(parents=True)
    clear_remains(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {
        n for n, stays in names.items() if stays
    }
    aside = storage.set_aside(tmp_path / "update_000000001")
    assert aside == Path(tmp_path, "update_000000001.damaged")
    assert not checkpoint_manager.checkpoint_paths(tmp_path)
