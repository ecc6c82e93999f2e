"""The controllers: control loops that bring objects up to what other objects ask for."""
