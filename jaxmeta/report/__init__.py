"""Pages and figures from run folders."""

from jaxmeta.report.figures import transfer
from jaxmeta.report.sheets import contact_sheet

__all__ = ["contact_sheet", "transfer"]
