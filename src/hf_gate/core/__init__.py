"""What a request is and what may happen to it: lifecycle, events, versions, forms, roles, outcomes, runs, records.

Pure values and rules that all rooms share. It reads no file and no clock; what one room alone needs belongs there.
"""
