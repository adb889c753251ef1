"""Settings of skrl's RPO, versions 1 and 2."""
