"""`python -m minijuju.cli` is the command line."""

import sys

from minijuju.cli.start import main

sys.exit(main())
