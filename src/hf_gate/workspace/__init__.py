"""Creates, opens, checks, copies and removes a workspace: bootstrap, init, doctor, demo, backup, export, restore.

It puts the other rooms together. Rules of one capability belong in its room.
"""
