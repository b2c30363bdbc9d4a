"""Plans: ordered lists of changes with reasons and limits. Nothing here sends or stores anything."""
