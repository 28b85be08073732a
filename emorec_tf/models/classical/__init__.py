"""Classical heads: fitted by scikit-learn, kept as Keras layers."""
