"""The networks, as plain functions in tables; Keras only."""
