"""``python -m tests.serving_vllm.counting NAME …``: vLLM as serving.engines starts it, but for two flags.

It counts, for whoever asks its socket, and says how much of a prompt was in its cache: what a test wants to see, and
what the rules keep it from telling.
"""

from __future__ import annotations

import sys

from serving.engines import vllm
from serving.engines.__main__ import main
from serving.engines.vllm_rules import Rule

SILENT = ("--disable-log-stats",)
TELLING = Rule(("--enable-prompt-tokens-details",), "how much of a prompt was found is what the test asks")

if __name__ == "__main__":
    vllm.FLAGS = (*(rule for rule in vllm.FLAGS if rule.words != SILENT), TELLING)
    sys.exit(main())
