"""Files and services outside the store that this room reads or writes."""
