"""python -m probes NAME...: see probes/analyses/command.py."""

import sys

from probes.analyses.command import command

if __name__ == "__main__":
    sys.exit(command())
