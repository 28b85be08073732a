"""emorec_tf: a TensorFlow/Keras model zoo for emotion recognition from speech and face together.

Shape legend used in every docstring: B batch, T audio feature frames, M bands, F face frames,
H W C pixels and channels, S tokens of a branch, E embedding size, K classes.
"""

__version__ = "0.1.0"
