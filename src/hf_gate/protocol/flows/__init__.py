"""The client's operations as generators that yield steps and receive answers, without network, clock or threads."""
