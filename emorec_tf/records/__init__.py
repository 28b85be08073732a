"""TFRecords: made in parallel, read as batches, augmented."""
