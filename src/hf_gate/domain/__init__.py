"""The values and rules of gated repos, without clock, network, disk, threads or randomness."""
