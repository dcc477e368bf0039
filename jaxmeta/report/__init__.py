"""Pages and figures from run folders."""

from jaxmeta.report.figures import transfer
from jaxmeta.report.policies import animation, learning_curves, rollouts, trajectories
from jaxmeta.report.sheets import contact_sheet

__all__ = ["animation", "contact_sheet", "learning_curves", "rollouts", "trajectories", "transfer"]
