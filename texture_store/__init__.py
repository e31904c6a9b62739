"""texture_store: a distributed batch feature store for micrographs."""
