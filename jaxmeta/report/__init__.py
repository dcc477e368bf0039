"""Pages and figures from run folders."""

from jaxmeta.report.figures import transfer

__all__ = ["transfer"]
