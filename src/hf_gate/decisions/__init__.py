"""From a verdict or a click to an outcome: plans, runs, the tray, settling, undo.

The only room that sends decisions to the Hub. The intent is stored before it is sent.
"""
