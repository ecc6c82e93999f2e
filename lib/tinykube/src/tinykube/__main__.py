"""`python -m tinykube` is the command `tinykube`."""

import sys

from tinykube.cli import main

sys.exit(main())
