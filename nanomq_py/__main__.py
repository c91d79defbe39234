"""``python -m nanomq_py`` is ``nanomq``."""

import sys

from nanomq_py.cli import main

sys.exit(main())
