"""Settings of other libraries, by name, as fields of a `Config`."""
