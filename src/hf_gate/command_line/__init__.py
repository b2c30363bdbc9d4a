"""The command line: its tree, options, output and all commands, in folders by subject."""
