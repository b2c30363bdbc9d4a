"""One outbox: notices to the staff, letters to applicants, and the channels that deliver them.

Rooms that tell something queue an event in their transaction. What is told to whom is decided here.
"""
