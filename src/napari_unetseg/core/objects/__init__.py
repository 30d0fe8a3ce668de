"""Objects: from masks and network outputs, across planes, blocks and time."""
