import dataclasses

import matplotlib.image
import numpy as np

from rpojax import Config, Metrics
from rpojax.agent_table import AgentTable, agent_table
from rpojax.cli.views import Plot
from rpojax.loggers import CSVLogger, LogRecord

CFG = Config()
ALIKE = agent_table(CFG.hyperparams(), num_seeds=2)
SWEEP = agent_table(
    CFG.hyperparams(), CFG.hyperparams().replace(alpha=[0.0, 0.0, 0.1, 0.1]), seeds=[0, 1, 0, 1]
)


def logged(directory, agents: AgentTable):
    """A directory with the metrics of a run, and nothing else."""
    names = [field.name for field in dataclasses.fields(Metrics)]
    logger = CSVLogger(directory / "metrics.csv")
    logger.start(CFG, agents, updates=0)
    for update in (1, 2):
        values = np.full(len(agents), update, np.float32)
        metrics = Metrics(**dict.fromkeys(names, values))
        logger.log(LogRecord(update, update * CFG.batch_size, metrics, 1.0, None))
    logger.close()
    return directory


def test_a_run_has_a_curve_for_each_set_of_hyperparameters(tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(
        "rpojax.cli.views.plot_curves", lambda curves, *_, **__: labels.extend(curves)
    )
    runs = logged(tmp_path / "plain", ALIKE), logged(tmp_path / "sweep", SWEEP)
    Plot(directories=runs)()
    assert labels == ["plain", "sweep: alpha=0", "sweep: alpha=0.1"]


def test_the_picture_is_written_and_its_path_printed(tmp_path, capsys):
    output = tmp_path / "curves.png"
    Plot(directories=(logged(tmp_path / "sweep", SWEEP),), output=output)()
    assert capsys.readouterr().out == f"{output}\n"
    assert matplotlib.image.imread(output).shape[:2] == (600, 1050)
