"""Everything that knows Ray. One file, one job; `jobs.cli` is the `texture-store` command."""
