"""Run by the image's interpreter: print as JSON what the application is, without a store.

That is every route that it has, and the libraries of `SPARED` that were loaded for it.
"""

import json
import sys
from pathlib import Path

from toolkit_metadata.app import mlflow_app
from toolkit_metadata.settings import Settings

# What only those pay for who set a store: 27 MiB.
SPARED = ("botocore",)


def native(router, prefix=""):
    """Walk FastAPI's routes, included routers too."""
    for route in router.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            context = route.include_context
            yield from native(inner, prefix + context.prefix)
        elif getattr(route, "methods", None):
            for method in sorted(route.methods):
                yield method, prefix + route.path


def main():
    data = Path(sys.argv[1])
    settings = Settings("127.0.0.1", 1, data, data / "tokens")
    surface = mlflow_app(settings)
    from mlflow.server import app as flask

    routes = set(native(surface._app))
    for rule in flask.url_map.iter_rules():
        routes.update((method, rule.rule) for method in rule.methods)
    loaded = [name for name in SPARED if name in sys.modules]
    json.dump({"routes": sorted(routes), "loaded": loaded}, sys.stdout)


if __name__ == "__main__":
    main()
