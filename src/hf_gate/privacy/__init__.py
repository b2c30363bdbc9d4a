"""What is held about one person: shown, exported, erased, and deleted when its time is over."""
