"""What the charms share: relation data models, config, layers and the base class."""
