"""Dictionaries and codes at ImageNet's size, measured and not extrapolated.

``python -m benchmarks.cost_concepts`` prints one JSON object: channels of a layer -> seconds of processor time of one
thread. Vectors are sums of a few directions with noise, as many as ImageNet's validation set has list images.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from benchmarks.lasso_codes import world
from ingest.methods.concepts import default_concepts
from ingest.numerics.dictionaries import kmeans
from ingest.numerics.lasso import lasso, penalty_for, wished_active

CHANNELS, VECTORS, CODED, TUNED_ON = (256, 512, 768, 1024, 2048), 25_000, 392, 256


def measure(channels: int) -> dict[str, float]:
    """Seconds of a layer's dictionary with its penalty, and of one vector's code."""
    concepts = default_concepts(channels, VECTORS)
    x, _ = world(channels=channels, concepts=concepts, vectors=VECTORS)
    begun = time.process_time()
    v = kmeans(x, concepts, 0, "cpu")
    penalty = penalty_for(x[:TUNED_ON], v, wished_active(concepts))
    made = time.process_time()
    codes = lasso(x[-CODED:], v, penalty)
    coded = time.process_time() - made
    return {"concepts": concepts, "l0": codes.l0, "dictionary": made - begun, "code": coded / CODED}


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps({channels: measure(channels) for channels in CHANNELS}) + "\n")
