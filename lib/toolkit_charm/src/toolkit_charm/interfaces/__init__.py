"""Our own relation interfaces: versioned data models with a provider and a requirer each."""
