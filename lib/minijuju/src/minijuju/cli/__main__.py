"""`python -m minijuju.cli` is the command line."""

import sys

from minijuju.cli.main import main

sys.exit(main())
