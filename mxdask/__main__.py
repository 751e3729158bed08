"""``python -m mxdask``."""

import sys

from mxdask.cli import main

sys.exit(main())
