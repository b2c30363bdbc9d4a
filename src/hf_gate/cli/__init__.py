"""The command line: one module for each group of commands. Importing it loads none of them."""
