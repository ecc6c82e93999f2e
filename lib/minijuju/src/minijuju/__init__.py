"""Juju on one machine: controller, uniter, hook commands and juju's verbs."""
