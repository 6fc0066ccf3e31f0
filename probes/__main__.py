"""The old name of `python -m reports analyse`, for one release: `python -m probes NAME...`."""

from conf import begin

begin(__name__)

import sys

from conf.cli import guarded
from reports.analyses.command import main

if __name__ == "__main__":
    print("python -m probes is the old name of `python -m reports analyse`; the next release drops it", file=sys.stderr)
    sys.exit(guarded(main))
