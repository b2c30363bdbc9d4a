"""Plans: ordered lists of changes with reasons and limits. Pure values; nothing here sends or stores."""
