"""The version, said once: a checkout that is on the path and was not installed has it too."""

VERSION = "0.1.0"
