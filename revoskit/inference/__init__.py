"""From a model to its predictions, written so that a killed run goes on where it was."""
