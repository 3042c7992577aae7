"""Prints what `mixed.rs` holds a whole loss of two teachers to: every term in PyTorch's own functions in float64, and its automatic gradient.

    python tests/tests/distill/pytorch.py

A row of losses is a term (cross-entropy; then divergence, DKD and cosine of each teacher), a column a sample's share of the batch's mean; factors
and weights are in them.
"""

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
CLASSES = 4
student = torch.tensor([[1.0, 2.0, -0.5, 0.3], [0.2, -1.0, 1.5, 0.0]], requires_grad=True)
teachers = torch.tensor([[[3.0, 0.5, -1.0, 0.0], [-0.5, 0.1, 2.5, 1.0]], [[6.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 9.0]]])
labels, second, share = torch.tensor([0, 3]), torch.tensor([2, 1]), 0.3
# For each sample, the labels' and the two teachers'.
factors = torch.tensor([[1.0, 0.5, 0.25], [0.75, 1.25, 0.5]])


def cross_entropy(weight=0.7, smoothing=0.1):
    of = [F.cross_entropy(student, target, label_smoothing=smoothing, reduction="none") for target in (labels, second)]
    return weight * ((1 - share) * of[0] + share * of[1])


def kd(teacher, temperature, weight):
    log_p, q = F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    return weight * temperature**2 * F.kl_div(log_p, q, reduction="none").sum(1)


def dkd(teacher, temperature, alpha, beta, weight):
    target = F.one_hot(labels, CLASSES).bool()

    def parts(logits):
        p = F.softmax(logits / temperature, 1)
        binary = torch.stack([p[target], p[~target].reshape(-1, CLASSES - 1).sum(1)], 1)
        return binary, F.log_softmax(logits[~target].reshape(-1, CLASSES - 1) / temperature, 1)

    (p, log_rest), (q, log_rest_of_teacher) = parts(student), parts(teacher)
    target_class = F.kl_div(p.log(), q, reduction="none").sum(1)
    others = F.kl_div(log_rest, log_rest_of_teacher, reduction="none", log_target=True).sum(1)
    return weight * temperature**2 * (alpha * target_class + beta * others)


def cosine(ours, theirs, weight):
    return weight * (1 - F.cosine_similarity(ours, theirs, dim=1))


def centred(logits):
    return logits - logits.mean(1, keepdim=True)


first, last = teachers
terms = torch.stack([
    factors[:, 0] * cross_entropy(),
    factors[:, 1] * kd(first, 2.0, 0.9),
    factors[:, 1] * dkd(first, 4.0, 1.5, 6.0, 0.5),
    factors[:, 1] * cosine(centred(student), centred(first), 0.6),
    factors[:, 2] * kd(last, 1.0, 0.4),
    factors[:, 2] * dkd(last, 1.0, 1.0, 2.0, 0.8),
    factors[:, 2] * cosine(F.softmax(student / 3.0, 1), F.softmax(last / 3.0, 1), 1.3),
])
terms.sum(0).mean().backward()
for term in terms:
    print([round(value, 10) for value in (term / len(labels)).tolist()])
print([round(value, 10) for value in student.grad.flatten().tolist()])
