"""Memory banks, queues and key encoders, and the container that keeps them beside the model."""
