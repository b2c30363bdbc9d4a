"""What is checked in a policy before it runs, with the position and the fix of each problem."""
