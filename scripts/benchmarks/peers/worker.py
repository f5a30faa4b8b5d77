"""A peer in a process and an environment of its own: ``python worker.py JOB DATA.npz OPTIONS``.

``JOB`` is a module of this folder with ``prepare(data, options) -> run``. Each line on stdin makes one run; each answer
is one JSON line on the stdout that the process was started with.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import warnings

import numpy as np


def main() -> None:
    """Prepare, say so, then run once for every line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints goes to the log
    warnings.simplefilter("ignore")
    job, path, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    module = importlib.import_module(job)
    with np.load(path) as stored:
        data = {name: stored[name] for name in stored.files}
    run = module.prepare(data, options)
    answers.write(json.dumps({"version": importlib.metadata.version(module.DISTRIBUTION)}) + "\n")
    for _ in sys.stdin:
        answers.write(json.dumps(run()) + "\n")


if __name__ == "__main__":
    main()
