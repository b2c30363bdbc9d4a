"""When access ends: moved with its facts and conditions, reviewed each turn, and changed by people."""
