"""Pages and figures from run folders."""

from jaxmeta.report.curves import Curve, functions
from jaxmeta.report.figures import transfer
from jaxmeta.report.of_runs import run_figures
from jaxmeta.report.policies import animation, learning_curves, rollouts, trajectories
from jaxmeta.report.probes import TASKS
from jaxmeta.report.sheets import contact_sheet
from jaxmeta.report.transfers import Drawn, transfer_figures
from jaxmeta.report.writing import Report, gather, write

__all__ = [
    "TASKS", "Curve", "Drawn", "Report", "animation", "contact_sheet", "functions", "gather", "learning_curves",
    "rollouts", "run_figures", "trajectories", "transfer", "transfer_figures", "write",
]  # fmt: skip
