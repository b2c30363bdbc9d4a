"""Commands that decide, plan, apply and undo."""
