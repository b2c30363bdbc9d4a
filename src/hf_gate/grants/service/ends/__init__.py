"""When access ends: moved with its facts and conditions, and reviewed each turn."""
