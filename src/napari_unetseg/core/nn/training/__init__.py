"""Training loops, with their losses, patches, augmentation and schedules."""
