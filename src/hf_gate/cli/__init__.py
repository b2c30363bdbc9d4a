"""The command line: its tree, options and output; the commands are in `commands` of their rooms."""
