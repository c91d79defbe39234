"""What dialects with a path for each thing share: endpoints, parameters, answers."""
