"""`python -m toolkit_cli`: what the `toolkit` script hands over to."""

from toolkit_cli.main import main

raise SystemExit(main())
