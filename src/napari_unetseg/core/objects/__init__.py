"""Objects: from masks and from what a network says, through planes, blocks and time."""
