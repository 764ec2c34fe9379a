"""k-means of many small sets at once, in Gram space: all sets and all restarts in one matrix product.

Notation
--------
M sets (neurons) of up to n points (references) in D dimensions, D much larger than n; k clusters, T restarts.
V : (M, n, D) points.      present : (M, n) which of them there are; the others belong to no cluster.
G : (M, n, n) inner products of the centred points; rows and columns of absent ones are zero.
Z : (n, k) one-hot clusters; with S = G Z and sizes m_c, the squared distance of point i to the mean of cluster c is
G_ii − 2 S_ic / m_c + q_c, q_c = Σ_i Z_ic S_ic / m_c². D is never touched again.
inertia : Σ over points of the squared distance to the mean of their own cluster.

Lloyd's steps from greedy k-means++ starts (Arthur & Vassilvitskii 2007), as scikit-learn does, then single points
move while that lowers the inertia (Hartigan & Wong 1979), and the best restart is kept. The uniform numbers of the
starts are the same for all sets, so a set's clusters do not depend on what else is in the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_BYTES = 32 * 2**20
_CACHE = 2**20
_SETS = 16
_LLOYD = 100
_MOVES = 200
_COPIES = 6
_REFINED = 3
_ROUNDING = 1e-5
_TINY = 1e-12


@dataclass(frozen=True)
class Clusters:
    """k clusters of each of M sets.

    labels : (M, n) int64, -1 for absent points; clusters by size, the largest is 0, then by first point.
    sizes : (M, k).      inertia : (M,) float64.
    silhouettes : (M, n) of each point, in [-1, 1], NaN for absent ones.      silhouette : (M,) their mean.

    Sets with fewer distinct points than clusters have empty clusters, size 0. Where fewer than two clusters have a
    point, silhouettes are 0, as they are for a point alone in its cluster; without any point the mean is NaN.
    """

    labels: Tensor
    sizes: Tensor
    inertia: Tensor
    silhouettes: Tensor

    @property
    def silhouette(self) -> Tensor:
        """(M,) mean over the present points."""
        return self.silhouettes.nanmean(1)

    @property
    def k(self) -> int:
        """Number of clusters."""
        return int(self.sizes.shape[1])


def gram(vectors: Tensor, present: Tensor | None = None) -> Tensor:
    """(M, n, n) float64 G of points V (M, n, D), centred on the mean of those present."""
    sets, n, width = vectors.shape
    found = torch.empty((sets, n, n), dtype=torch.float64, device=vectors.device)
    here = torch.ones((sets, n), dtype=torch.bool, device=vectors.device) if present is None else present
    # A few sets at a time: centred points are read again while a CPU's cache still holds them.
    step = max(1, (_CACHE if vectors.device.type == "cpu" else CHUNK_BYTES) // max(1, 4 * n * width))
    for start in range(0, sets, step):
        part = slice(start, start + step)
        weight = here[part].to(vectors.dtype).unsqueeze(2)
        mean = torch.bmm(weight.transpose(1, 2), vectors[part]) / weight.sum(1, keepdim=True).clamp(min=1)
        centred = (vectors[part] - mean).mul_(weight)
        found[part] = torch.bmm(centred, centred.transpose(1, 2))
    return found


def kmeans(
    g: Tensor,
    k: int,
    present: Tensor | None = None,
    *,
    restarts: int = 10,
    seed: int = 0,
    chunk_bytes: int = CHUNK_BYTES,
) -> Clusters:
    """k clusters of every set, the best of T restarts.

    Parameters
    ----------
    g : (M, n, n), as :func:`gram` gives it.
    k : number of clusters, ≥ 1.
    present : (M, n) bool, all by default.
    restarts, seed : T starts, drawn from this seed.
    chunk_bytes : memory for the sets that run together.
    """
    sets, n = g.shape[:2]
    here = torch.ones((sets, n), dtype=torch.bool, device=g.device) if present is None else present
    trials = 2 + int(math.log(k))
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand((restarts, k, trials), generator=generator, dtype=torch.float64).to(g.device)
    step = max(1, chunk_bytes // max(1, 8 * n * (2 * n + _COPIES * restarts * k)))
    parts = [
        _best(g[start : start + step], here[start : start + step], draws) for start in range(0, sets, step)
    ]
    labels = torch.cat(parts) if parts else here.long()
    labels = _by_size(labels, k)
    sizes = torch.stack([(labels == c).sum(1) for c in range(k)], 1)
    points = [
        silhouettes(*part, k) for part in zip(torch.split(g, _SETS), torch.split(labels, _SETS), strict=True)
    ]
    return Clusters(labels, sizes, inertia(g, labels, k), torch.cat(points))


def inertia(g: Tensor, labels: Tensor, k: int) -> Tensor:
    """(M,) float64 Σ_i G_ii − Σ_c m_c q_c over the labelled points."""
    z = _one_hot(labels, k)
    within = (z * torch.bmm(g, z)).sum(1) / z.sum(1).clamp(min=1)
    total = torch.where(labels >= 0, torch.diagonal(g, dim1=1, dim2=2), 0).sum(1)
    return (total - within.sum(1)).clamp(min=0)


def silhouettes(g: Tensor, labels: Tensor, k: int) -> Tensor:
    """(M, n) silhouette of every point by Euclidean distances (Rousseeuw 1987), NaN where there is no point.

    (b − a) / max(a, b), a the mean distance to the other points of its cluster, b the least mean distance to another
    cluster.
    """
    z = _one_hot(labels, k)
    sizes = z.sum(1)
    sums = torch.bmm(distances(g).sqrt(), z)
    own = labels.clamp(min=0).unsqueeze(2)
    mine = sizes.gather(1, own[:, :, 0])
    a = sums.gather(2, own)[:, :, 0] / (mine - 1).clamp(min=1)
    means = sums / sizes.clamp(min=1).unsqueeze(1)
    other = means.masked_fill((sizes == 0).unsqueeze(1), torch.inf).scatter(2, own, torch.inf)
    b = other.min(2).values
    s = torch.where((mine > 1) & b.isfinite(), (b - a) / torch.maximum(a, b).clamp(min=_TINY), 0.0)
    return s.masked_fill(labels < 0, torch.nan)


def distances(g: Tensor) -> Tensor:
    """(M, n, n) squared distances between points."""
    d = torch.diagonal(g, dim1=1, dim2=2)
    return (d.unsqueeze(1) + d.unsqueeze(2)).sub_(g, alpha=2).clamp_(min=0)


def _one_hot(labels: Tensor, k: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """(M, n, k) of 0 and 1; rows of absent points are zero."""
    return (labels.unsqueeze(2) == torch.arange(k, device=labels.device)).to(dtype)


def _best(g: Tensor, here: Tensor, draws: Tensor) -> Tensor:
    """(m, n) labels of the best restart of each set of a chunk, moved point by point where that is better."""
    restarts, k, _ = draws.shape
    m, n = here.shape
    # Steps in single precision, the choice among restarts and the moves in double.
    single, d = g.float(), distances(g).float()
    labels = _lloyd(single, d, _starts(d, here, draws.float()), here, k)
    z = _one_hot(labels.view(-1, n), k).view(m, restarts, n, k).permute(0, 2, 1, 3)
    s = torch.bmm(g, z.reshape(m, n, -1)).view(m, n, restarts, k)
    held = ((z * s).sum(1) / z.sum(1).clamp(min=1)).sum(2)
    few = min(_REFINED, restarts)
    first = torch.topk(held, few, dim=1).indices
    sets = torch.arange(m, device=g.device)
    best = labels[sets[:, None], first].view(m * few, n)
    owner = sets.repeat_interleave(few)
    held = _exchange(g, best, owner, k).view(m, few)
    return best.view(m, few, n)[sets, _first_largest(held)]


def _first_largest(held: Tensor) -> Tensor:
    """(m,) the first restart within rounding of the best, so that equal ones do not hang on the last bit."""
    top = held.max(1, keepdim=True).values
    return (held >= top - 1e-9 * top.abs()).long().argmax(1)


def _starts(d: Tensor, here: Tensor, draws: Tensor) -> Tensor:
    """(m, T, k) points chosen as first centres by greedy k-means++; d (m, n, n) squared distances."""
    restarts, k, trials = draws.shape
    m, n = here.shape
    sets = torch.arange(m, device=d.device)
    chosen = torch.empty((m, restarts, k), dtype=torch.int64, device=d.device)
    even = here.to(d.dtype).unsqueeze(1)
    weight = even.expand(m, restarts, n)
    nearest = torch.full((m, restarts, n), torch.inf, dtype=d.dtype, device=d.device)
    for c in range(k):
        wanted = trials if c else 1
        picks = _draw(weight, draws[:, c, :wanted].expand(m, restarts, wanted))
        to = torch.minimum(nearest.unsqueeze(2), d[sets[:, None, None], picks])
        best = (to * even.unsqueeze(2)).sum(3).argmin(2, keepdim=True)
        chosen[:, :, c] = picks.gather(2, best)[:, :, 0]
        nearest = to.gather(2, best.unsqueeze(3).expand(m, restarts, 1, n))[:, :, 0]
        weight = nearest * even
        # All points lie on centres: any of them will do.
        weight = torch.where(weight.sum(2, keepdim=True) > 0, weight, even)
    return chosen


def _draw(weight: Tensor, u: Tensor) -> Tensor:
    """(m, T, t) points with probabilities in proportion to weight (m, T, n), from uniform u (m, T, t)."""
    total = weight.cumsum(2)
    found = torch.searchsorted(total.contiguous(), (u * total[:, :, -1:]).contiguous(), right=True)
    return found.clamp(max=weight.shape[2] - 1)


def _lloyd(g: Tensor, d: Tensor, starts: Tensor, here: Tensor, k: int) -> Tensor:
    """(m, T, n) labels where Lloyd's steps end; d (m, n, n) squared distances."""
    m, restarts, _ = starts.shape
    n = here.shape[1]
    to = d[torch.arange(m, device=g.device)[:, None, None], starts]  # (m, T, k, n)
    labels = _least(to.movedim(2, -1)).masked_fill(~here.unsqueeze(1), -1)
    active, own, absent = torch.arange(m, device=g.device), labels.clone(), ~here.unsqueeze(1)
    for _ in range(_LLOYD):
        z = _one_hot(own.reshape(-1, n), k, g.dtype).view(len(active), restarts, n, k).permute(0, 2, 1, 3)
        far = _distances_to_means(g, z)
        new = _least(far).permute(0, 2, 1).masked_fill(absent, -1)
        _fill_empty(new, far, torch.diagonal(g, dim1=1, dim2=2), k)
        labels[active] = new
        moved = (new != own).flatten(1).any(1)
        own = new
        if not bool(moved.all()):
            active, own, absent, g = active[moved], own[moved], absent[moved], g[moved]
        if not len(active):
            break
    return labels


def _least(far: Tensor) -> Tensor:
    """Place of the least along the last axis, the first of equals."""
    return (far[..., 1] < far[..., 0]).long() if far.shape[-1] == 2 else far.argmin(-1)


def _distances_to_means(g: Tensor, z: Tensor) -> Tensor:
    """(m, n, T, k) squared distances less G_ii; infinite to empty clusters. z (m, n, T, k)."""
    m, n, restarts, k = z.shape
    s = torch.bmm(g, z.reshape(m, n, -1)).view(m, n, restarts, k)
    sizes = z.sum(1)
    q = (z * s).sum(1) / (sizes * sizes).clamp(min=1)
    far = q.unsqueeze(1) - 2 * s / sizes.clamp(min=1).unsqueeze(1)
    return far.masked_fill((sizes == 0).unsqueeze(1), torch.inf)


def _fill_empty(labels: Tensor, far: Tensor, diagonal: Tensor, k: int) -> None:
    """Give a lost cluster the point farthest from its mean, in place, unless it lies on that mean.

    labels (m, T, n); far (m, n, T, k) squared distances less diagonal (m, n).
    """
    for c in range(k):
        lost = ~(labels == c).any(2) & (labels >= 0).any(2)
        if not bool(lost.any()):
            continue
        sets, turns = lost.nonzero(as_tuple=True)
        here = labels[sets, turns]
        # Only clusters of two and more points give one away.
        sizes = (here.unsqueeze(2) == here.unsqueeze(1)).sum(2)
        own = far[sets, :, turns].gather(2, here.clamp(min=0).unsqueeze(2))[:, :, 0]
        own = (own + diagonal[sets]).masked_fill((here < 0) | (sizes < 2), -torch.inf)
        point = own.argmax(1)
        able = own.max(1).values > _ROUNDING * diagonal[sets].max(1).values
        labels[sets[able], turns[able], point[able]] = c


def _exchange(g: Tensor, labels: Tensor, owner: Tensor, k: int) -> Tensor:
    """Move the one point that lowers the inertia most, in place, as long as there is one.

    labels (P, n), P problems; owner (P,) the set of each. Moving i from a to c changes the inertia by
    m_c / (m_c + 1) · d_ic − m_a / (m_a − 1) · d_ia. Gives (P,) Σ_c m_c q_c, which is least where inertia is most.
    """
    diagonal = torch.diagonal(g, dim1=1, dim2=2)[owner]
    scale = diagonal.sum(1)
    active = torch.arange(len(labels), device=g.device)
    z = _one_hot(labels, k)
    s = torch.bmm(g[owner], z)
    for _ in range(_MOVES):
        best, at = _changes(z[active], s[active], diagonal[active], labels[active]).flatten(1).min(1)
        moved = best < -1e-9 * scale[active] - _TINY
        active, at = active[moved], at[moved]
        if not len(active):
            break
        point, to = at // k, at % k
        column = g[owner[active], :, point]
        for cluster, sign in ((labels[active, point], -1.0), (to, 1.0)):
            z[active, point, cluster] += sign
            s[active, :, cluster] += sign * column
        labels[active, point] = to
    return ((z * s).sum(1) / z.sum(1).clamp(min=1)).sum(1)


def _changes(z: Tensor, s: Tensor, diagonal: Tensor, own: Tensor) -> Tensor:
    """(P, n, k) change of inertia by moving a point to a cluster; infinite where there is none to make."""
    sizes = z.sum(1)
    q = (z * s).sum(1) / (sizes * sizes).clamp(min=1)
    d = diagonal.unsqueeze(2) + q.unsqueeze(1) - 2 * s / sizes.clamp(min=1).unsqueeze(1)
    at = own.clamp(min=0).unsqueeze(2)
    mine = sizes.gather(1, at[:, :, 0])
    leave = mine / (mine - 1).clamp(min=1) * d.gather(2, at)[:, :, 0]
    join = (sizes / (sizes + 1)).unsqueeze(1) * d
    change = join - leave.unsqueeze(2)
    fixed = ((own < 0) | (mine < 2)).unsqueeze(2)
    return change.scatter(2, at, torch.inf).masked_fill(fixed, torch.inf)


def _by_size(labels: Tensor, k: int) -> Tensor:
    """Clusters renamed: the largest 0, equal ones in the order of their first points."""
    n = labels.shape[1]
    marks = labels.unsqueeze(1) == torch.arange(k, device=labels.device)[:, None]
    first = torch.where(marks.any(2), marks.long().argmax(2), n)
    order = torch.argsort(marks.sum(2) * -(n + 1) + first, dim=1, stable=True)
    place = torch.argsort(order, dim=1)
    return torch.where(labels < 0, labels, place.gather(1, labels.clamp(min=0)))
