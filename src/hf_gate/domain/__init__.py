"""What a gated repository is and what may happen to it; no clock, network, disk, threads or randomness."""
