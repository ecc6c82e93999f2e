"""Run by an environment's own Python: print, as JSON, what it has."""

import importlib.metadata
import json
import os
import sys

# What says where a package was built from, and when.
OWN = {"direct_url.json", "uv_build.json", "uv_cache.json"}

(SITE,) = (path for path in sys.path if path.startswith(sys.prefix) and "site-packages" in path)
PACKAGES = {}
for package in importlib.metadata.distributions(path=[SITE]):
    files = {
        str(file): file.hash.value if file.hash else None
        for file in package.files or ()
        # Programs begin with the path of their interpreter.
        if file.suffix != ".pyc" and file.name not in OWN and file.parent.name != "bin"
    }
    PACKAGES[package.name] = {"version": package.version, "files": files}
print(
    json.dumps(
        {
            "prefix": sys.prefix,
            "python": list(sys.version_info[:2]),
            "packages": PACKAGES,
            "programs": sorted(os.listdir(f"{sys.prefix}/bin")),
            "left by the build": [
                path for path in ("/build", "/usr/local/bin/uv") if os.path.exists(path)
            ],
        }
    )
)
