"""What remembers: memory banks, queues, key encoders, and the container that keeps them beside the model."""
