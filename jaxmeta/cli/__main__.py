"""python -m jaxmeta.cli"""

from jaxmeta.cli import entry

entry()
