"""Object stores that speak S3, used the same way by every image."""

from .locations import Location, LocationError
from .store import (
    MAX_PARTS,
    PART,
    CredentialsError,
    Listing,
    ObjectStore,
    ObjectStoreError,
    Writing,
    credentials,
    part_size,
)

__all__ = [
    "MAX_PARTS",
    "PART",
    "CredentialsError",
    "Listing",
    "Location",
    "LocationError",
    "ObjectStore",
    "ObjectStoreError",
    "Writing",
    "credentials",
    "part_size",
]
