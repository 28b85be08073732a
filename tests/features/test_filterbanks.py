"""The fixed matrices against librosa, SciPy and closed forms."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.fft

from emorec_tf.features import filterbanks

SETTINGS = [
    (64, 512, 16000, 50, 8000),
    (40, 512, 16000, 0, 8000),
    (16, 256, 8000, 100, 3800),
    (128, 2048, 48000, 0, 24000),
]


@pytest.mark.parametrize(("bands", "fft_length", "rate", "low", "high"), SETTINGS)
@pytest.mark.parametrize(
    ("ours", "kind"),
    [
        (filterbanks.htk_matrix, {"htk": True, "norm": None}),
        (filterbanks.slaney_matrix, {"htk": False, "norm": "slaney"}),
    ],
)
@pytest.mark.filterwarnings("ignore:Empty filters")  # 128 HTK bands are narrower than a bin
def test_mel_matrices_equal_librosa(ours, kind, bands, fft_length, rate, low, high):
    theirs = librosa.filters.mel(
        sr=rate, n_fft=fft_length, n_mels=bands, fmin=low, fmax=high, **kind
    )
    matrix = ours(bands, fft_length, rate, low, high)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, theirs.T, atol=1e-6)


def test_kaldi_triangles_share_every_bin_between_two_bands():
    """In mel each falls as its neighbour rises: together one, from first centre to last."""
    matrix = filterbanks.kaldi_matrix(23, 512, 16000, 20.0, 8000.0)
    assert matrix.shape == (256, 23)
    total = matrix.sum(axis=1)
    first, last = matrix[:, 0].argmax() + 1, matrix[:, -1].argmax()
    np.testing.assert_allclose(total[first:last], 1.0, atol=1e-6)
    assert ((matrix > 0).sum(axis=1) <= 2).all()


def test_kaldi_kernel_ignores_a_constant():
    kernel = filterbanks.kaldi_kernel(400, 512)
    assert kernel.shape == (400, 1, 512)
    np.testing.assert_allclose(kernel.sum(axis=0), 0.0, atol=2e-6)


def test_fourier_kernel_is_the_fft_under_a_hann_window():
    frame = np.random.default_rng(0).normal(size=400)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    theirs = np.fft.rfft(frame * hann, 512)
    real, imaginary = np.split(frame @ filterbanks.fourier_kernel(400, 512)[:, 0], 2)
    np.testing.assert_allclose(real - 1j * imaginary, theirs, atol=1e-5)


def test_cosine_matrix_equals_scipy():
    bands = np.random.default_rng(0).normal(size=(5, 128))
    theirs = scipy.fft.dct(bands, type=2, norm="ortho")[:, :20]
    np.testing.assert_allclose(bands @ filterbanks.cosine_matrix(128, 20), theirs, atol=1e-5)
