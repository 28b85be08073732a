"""``python -m emorec_tf VERB ...``, the same as ``emorec VERB ...``."""

import sys

from emorec_tf.cli import main

sys.exit(main())
