"""Which micrographs: list an archive, join labels, assign shards, fetch bytes."""
