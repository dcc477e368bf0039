"""Pages and figures from run folders."""

from jaxmeta.report.figures import transfer
from jaxmeta.report.policies import animation, learning_curves, rollouts, trajectories
from jaxmeta.report.sheets import contact_sheet
from jaxmeta.report.transfers import Drawn, transfer_figures

__all__ = [
    "Drawn", "animation", "contact_sheet", "learning_curves", "rollouts", "trajectories", "transfer",
    "transfer_figures",
]  # fmt: skip
