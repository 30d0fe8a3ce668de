"""Training loops and what they need: losses, patches, augmentation, schedules."""
