"""Models as data: specs of the networks, trained models, their checks, diagrams and library."""
