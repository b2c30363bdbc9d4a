"""What a client does, as generators that yield steps and are sent answers: no network, no clock, no threads."""
