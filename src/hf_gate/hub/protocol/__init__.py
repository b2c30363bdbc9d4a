"""The protocol of the Hub as values without I/O, shared by the client and the local Hub."""
