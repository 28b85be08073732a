"""A media file becomes audio samples and video frames, safely."""
