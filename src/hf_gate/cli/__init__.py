"""The command line: one module for each group of commands. Importing this package loads none of them."""
