"""The Train and Train on docks."""
