"""Training: every rung by one door, comparison, fine-tuning, pretraining and versions."""
