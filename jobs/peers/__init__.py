"""Scripts as people write them without texture_store, for `benchmark`. They import nothing of ours."""
