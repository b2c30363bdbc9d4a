"""The values and rules of gated repos. Nothing here uses a clock, the network, the disk, threads or randomness."""
