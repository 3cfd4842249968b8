"""Members of a cohort are, in one pass, the classifiers that they are alone; where they could not be, it is noticed."""

import pytest
import torch

from outshine.learn.batches import collate
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.model_cache import cohort
from outshine.learn.spec import LoRA
from tiny_checkpoints import ARCHITECTURES, CPU, each, gradients, spec_of, stir, token_rows

KINDS = sorted(ARCHITECTURES)
# relative positions go through the adapted layers, and they are no rows of the batch
MIXING = {"deberta", "deberta-v2"}
APART = [kind for kind in KINDS if kind not in MIXING]
SEEDS = [0, 1, 2]


def stirred(members: Cohort) -> Cohort:
    """Each member away from its start, differently."""
    for seed in SEEDS:
        with members.alone(seed) as member:
            stir(member, seed)
    return members


def batch():
    return collate(token_rows([9, 5, 12, 1]), [0, 1, 2, 3], 0, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_architecture_is_known_to_keep_rows_apart_or_is_seen_not_to(kind, checkpoint):
    spec = spec_of(checkpoint(kind))
    members = Cohort(load_backbone(spec, CPU), spec, SEEDS)
    before = [{name: p.detach().clone() for name, p in member.items()} for member in members.members()]
    assert members.separates() == (kind not in MIXING)
    for member, start in zip(members.members(), before, strict=True):  # what was tried out left nothing behind
        assert all(torch.equal(member[name], start[name]) for name in start)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tuning"), [*((kind, "lora") for kind in APART), *each((kind, "head") for kind in APART)]
)
def test_a_pass_together_gives_what_each_gives_alone(kind, tuning, checkpoint):
    dtype = "float32" if kind.startswith("gemma") else "float64"  # Gemma's softmax in float32 makes the mask infinite
    spec = spec_of(checkpoint(kind), dtype, tuning=tuning)
    members = stirred(Cohort(load_backbone(spec, CPU), spec, SEEDS))
    together = members.log_odds(*batch())
    for i, seed in enumerate(SEEDS):
        alone = stir(Classifier(load_backbone(spec, CPU), spec, seed), seed)
        torch.testing.assert_close(together[i], alone(*batch()), rtol=1e-5, atol=1e-5 if dtype == "float32" else 1e-7)
    assert (together - together[0]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["bert", "llama", "gpt2"])
def test_no_members_loss_reaches_anothers_weights(kind, checkpoint):
    spec = spec_of(checkpoint(kind), "float64")
    members = stirred(Cohort(load_backbone(spec, CPU), spec, SEEDS))
    members.log_odds(*batch())[1].sum().backward()
    alone = stir(Classifier(load_backbone(spec, CPU), spec, 1), 1)
    alone(*batch()).sum().backward()
    found = gradients(members)
    for name, expected in gradients(alone)[0].items():
        torch.testing.assert_close(found[1][name], expected, rtol=1e-6, atol=1e-9)
    for other in (0, 2):
        assert all(part is None or not part.any() for part in found[other].values())


def test_a_rank_that_divides_differently_and_a_scale_are_kept(checkpoint):
    spec = spec_of(checkpoint("llama"), "float64", tuning={"kind": "lora", "rank": 3, "alpha": 12})
    assert spec.tuning == LoRA(rank=3, alpha=12)
    members = stirred(Cohort(load_backbone(spec, CPU), spec, SEEDS))
    with members.alone(2) as member:
        alone = member(*batch())
    torch.testing.assert_close(members.log_odds(*batch())[2], alone, rtol=1e-6, atol=1e-9)


def test_the_base_comes_back_as_it_was(checkpoint):
    spec, memory = spec_of(checkpoint("bert")), {}
    with cohort(spec, SEEDS, CPU, memory) as members:
        stirred(members)
        used = members.backbone
    (kept,) = (base for _, base in memory.values())
    assert kept is used
    fresh = load_backbone(spec, CPU).state_dict()
    assert list(kept.state_dict()) == list(fresh)
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in kept.state_dict().items())


def test_full_tuning_shares_nothing(checkpoint):
    spec = spec_of(checkpoint("bert"), tuning="full")
    with pytest.raises(ValueError, match="share no base"):
        Cohort(load_backbone(spec, CPU), spec, SEEDS)
