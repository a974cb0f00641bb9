"""``python -m wcap``."""

import sys

from wcap.cli import main

sys.exit(main())
