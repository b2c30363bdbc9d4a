"""The operations of the client as generators that yield steps and receive answers, without network or clock."""
