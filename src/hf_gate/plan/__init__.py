"""From wish and reality to an ordered list of changes: values only; nothing here sends or stores."""
