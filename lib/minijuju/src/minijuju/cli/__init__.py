"""Juju's verbs: one module for each kind, found by `catalog`."""
