"""Comparing partitions of one neuron's references with each other and with distances in another space.

Notation
--------
S : neurons, each with the same number n of references.      d : length of a vector.      k : clusters.
D (S, n, n) : Euclidean distances between the references of each neuron.      z (S, n) : cluster of each reference.
M draws; w (M, n) : how often each reference counts in each draw of a bootstrap.

Distances within and between clusters and their correlation are those of PURE's evaluation (Dreyer et al. 2024,
arXiv 2404.06453, section 4; definitions from the authors' code).
"""

from __future__ import annotations

import torch
from torch import Tensor


def distances(vectors: Tensor) -> Tensor:
    """D of ``vectors`` (S, n, d), on their device and in their dtype; the diagonal is exactly zero."""
    flat = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    return flat - torch.diag_embed(flat.diagonal(dim1=-2, dim2=-1))


def intra_inter(D: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean distance of pairs in one cluster and of pairs in two, (S,) each.

    The diagonal does not count. A kind without pairs copies the other, as in the authors' code; NaN where there
    are no pairs at all (n < 2).
    """
    same = z[:, :, None] == z[:, None, :]
    off = ~torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    means = []
    for mask in (same & off, ~same):
        count = mask.sum(dim=(1, 2))
        means.append((D * mask).sum(dim=(1, 2)) / count)
    intra, inter = means
    return torch.where(intra.isnan(), inter, intra), torch.where(inter.isnan(), intra, inter)


def overall(D: Tensor) -> Tensor:
    """(S,) mean of all distances off the diagonal: what a partition at random has for both."""
    n = D.shape[1]
    return D.sum(dim=(1, 2)) / (n * (n - 1))


def alignment(left: Tensor, right: Tensor, groups: Tensor) -> Tensor:
    """Pearson correlation of two spaces' distances, once per group of neurons.

    Parameters
    ----------
    left, right : (S, n, n) distances of the same references in two spaces.
    groups : (G, m) int, the neurons of each group. A group's pairs are those of each of its neurons, each pair
        once; pairs at distance zero in either space are dropped (one image referred to twice).

    Returns
    -------
    (G,) correlations, NaN where fewer than two pairs are left or a space is constant.
    """
    n = left.shape[1]
    rows, columns = torch.triu_indices(n, n, 1, device=left.device)
    a, b = left[:, rows, columns][groups].flatten(1), right[:, rows, columns][groups].flatten(1)
    kept = (a != 0) & (b != 0)
    count = kept.sum(dim=1, keepdim=True)

    def centred(values: Tensor) -> Tensor:
        mean = (values * kept).sum(dim=1, keepdim=True) / count
        return torch.where(kept, values - mean, 0)

    a, b = centred(a), centred(b)
    scale = (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
    return (a * b).sum(dim=1) / torch.where(scale == 0, torch.nan, scale)


def adjusted_rand(z: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """Adjusted Rand index of each neuron's clusters with its true labels.

    Parameters
    ----------
    z, truth : (S, n) integers from 0.
    weights : (S, M, n) counts of each reference in M draws; None counts each once.

    Returns
    -------
    (S,), or (S, M) with weights. 1 where both put everything into one cluster or both tell all apart; NaN where a
    draw holds no two references.

    Notes
    -----
    Hubert and Arabie 1985: (Σ_ij P_ij − A·B/N) / ((A + B)/2 − A·B/N), where P_ij, A = Σ_i A_i, B = Σ_j B_j and N
    count pairs. With weights, a pair of references counts as the product of their weights and a reference makes no
    pair with its own copies: (s² − q)/2 pairs, s the sum of weights and q of their squares. The copies of one
    image that a bootstrap draws are no evidence that it is put with itself.
    """
    w = torch.ones_like(z, dtype=torch.float64)[:, None] if weights is None else weights.double()
    rows = torch.nn.functional.one_hot(z).double()
    columns = torch.nn.functional.one_hot(truth).double()
    cells = (rows[:, :, :, None] * columns[:, :, None, :]).flatten(2)

    def pairs(members: Tensor) -> Tensor:
        return ((w @ members).square() - w.square() @ members).sum(dim=-1) / 2

    both, own, true = pairs(cells), pairs(rows), pairs(columns)
    total = (w.sum(dim=-1).square() - w.square().sum(dim=-1)) / 2
    expected = own * true / total
    top = (own + true) / 2
    index = torch.where(top == expected, torch.ones_like(top), (both - expected) / (top - expected))
    index = torch.where(total > 0, index, torch.nan)
    return index[:, 0] if weights is None else index
