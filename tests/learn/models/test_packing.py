"""Packed texts: the log-odds and gradients of padded ones, text by text, without a token of padding."""

import itertools

import numpy as np
import pytest
import torch

from outshine.learn import packing
from outshine.learn.batches import collate
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.packing import Pack, Packing, start_packing
from plain_varlen import use_plain_varlen
from tiny_checkpoints import ARCHITECTURES, CPU, classifier_of, each, spec_of, stir, token_rows

# who makes the dense mask of a pack: the model itself from its positions, or it is given ("causal", "full")
DENSE = {
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama"), "found"),
    **dict.fromkeys(("mistral", "phi", "phi3", "qwen2", "qwen3"), "found"),
    **dict.fromkeys(("falcon", "opt"), "causal"),
    **dict.fromkeys(("bert", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlm-roberta"), "full"),
    # DeBERTa takes no mask of pairs of tokens; GPT-Neo has a table of them that ends where its positions do
    **dict.fromkeys(("deberta", "deberta-v2", "gpt_neo"), None),
}
# texts apart in attention ("laid"): not where it is code of the model's own, or where windows slide
NOT_LAID = {"falcon", "gemma2", "gemma3_text", "mistral", "modernbert", "mpnet", "deberta", "deberta-v2", "gpt_neo"}
WAYS = {kind: way if kind in NOT_LAID else "laid" for kind, way in DENSE.items()}
PACKED = sorted(kind for kind, way in WAYS.items() if way)
EACH_WAY = sorted({(kind, way) for kind in PACKED for way in (DENSE[kind], WAYS[kind])})
MOST = {"float32": 1e-5, "float64": 1e-10}  # difference
TEXTS = token_rows([9, 1, 32, 5, 12, 1, 2])
SEEDS = [0, 1, 2]


def padded():
    return collate(TEXTS, range(len(TEXTS)), 0, CPU)


def packed(texts=TEXTS) -> Pack:
    return Pack.of(texts, CPU)


def packing_classifier(folder, *args, way: str | None = None, **settings) -> Classifier:
    return start(classifier_of(folder, *args, **settings), way)


def start(model, way: str | None = None):
    """Packed in this way, or in the first that holds."""
    tried = packing._ways
    with pytest.MonkeyPatch.context() as patch:
        if way:
            patch.setattr(packing, "_ways", lambda *given: (one for one in tried(*given) if one.mask == way))
        assert start_packing(model)
    assert way in (None, model.packing.mask)
    return model


def gradients(model, log_odds: torch.Tensor) -> torch.Tensor:
    """Of a sum in which each text and member has a weight of its own; all trained weights in one vector."""
    weights = torch.linspace(-1, 2, log_odds.numel(), dtype=log_odds.dtype).reshape(log_odds.shape)
    found = torch.autograd.grad((log_odds * weights).sum(), model.leaves(), allow_unused=True)
    return torch.cat([tensor.flatten().double() for tensor in found if tensor is not None])


def assert_alike(model, dtype: str) -> None:
    expected, found = model.log_odds(*padded()), model.packed_log_odds(packed())
    assert expected.std(1).min() > 0.05
    largest = max(1.0, expected.abs().max().item())  # which rounding is a share of
    torch.testing.assert_close(found, expected, rtol=0, atol=MOST[dtype] * largest)
    theirs, ours = gradients(model, expected), gradients(model, found)
    assert ours.norm() > 0.1
    torch.testing.assert_close(ours / theirs.norm(), theirs / theirs.norm(), rtol=0, atol=MOST[dtype])


def test_all_architectures_are_listed():
    assert set(WAYS) == set(ARCHITECTURES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [*((kind, "float32") for kind in sorted(WAYS)), *each((kind, "bfloat16") for kind in sorted(WAYS))],
)
def test_what_an_architecture_can_is_found_out_and_leaves_nothing_behind(kind, dtype, checkpoint):
    if (kind, dtype) == ("deberta", "bfloat16"):
        pytest.skip("DeBERTa does not run in bfloat16, packed or not")
    classifier = classifier_of(checkpoint(kind), dtype)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    attention = classifier.backbone.config._attn_implementation
    assert start_packing(classifier) == (WAYS[kind] is not None)
    assert (classifier.packing and classifier.packing.mask) == WAYS[kind]
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert classifier.release().config._attn_implementation == attention


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), EACH_WAY)
def test_log_odds_and_gradients_are_those_of_padded_texts(kind, way, checkpoint):
    """In float64, where Gemma's softmax in float32 would make the padding's mask infinite; two also in float32."""
    dtypes = (
        ["float32"]
        if kind.startswith("gemma")
        else ["float64", "float32"]
        if kind in ("bert", "llama")
        else ["float64"]
    )
    for dtype in dtypes:
        assert_alike(packing_classifier(checkpoint(kind), dtype, way=way), dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "way"), each(EACH_WAY))
def test_those_of_a_cohort_too(kind, way, checkpoint):
    dtype = "float32" if kind.startswith("gemma") else "float64"
    spec = spec_of(checkpoint(kind), dtype)
    members = start(Cohort(load_backbone(spec, CPU), spec, SEEDS), way)
    for seed in SEEDS:
        with members.alone(seed) as member:
            stir(member, seed)
    assert_alike(members, dtype)
    assert (members.packed_log_odds(packed()).std(0) > 1e-3).all()


@pytest.mark.parametrize("tuning", ["head", "full"])
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_other_ways_of_tuning(kind, tuning, checkpoint):
    assert_alike(packing_classifier(checkpoint(kind), "float64", tuning=tuning), "float64")


def test_a_base_without_adapters_is_run_once_for_all_heads(checkpoint):
    spec = spec_of(checkpoint("bert"), tuning="head")
    members = Cohort(load_backbone(spec, CPU), spec, SEEDS)
    assert start_packing(members)
    torch.testing.assert_close(members.packed_log_odds(packed()), members.log_odds(*padded()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pooling"),
    [("gpt2", "mean"), *itertools.product(("bert", "roberta", "modernbert"), ("first", "last", "mean", "own"))],
)
def test_every_pooling(kind, pooling, checkpoint):
    assert_alike(packing_classifier(checkpoint(kind), "float64", pooling=pooling), "float64")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "way", "pooling"),
    each((*one, "auto") for one in EACH_WAY)
    + [(*one, "mean") for one in EACH_WAY if one[0] in ("bert", "gpt2", "llama")],
)
def test_texts_of_a_pack_do_not_see_each_other(kind, way, pooling, checkpoint):
    dtype = "float32" if kind.startswith("gemma") else "float64"
    classifier = packing_classifier(checkpoint(kind), dtype, way=way, pooling=pooling)
    others = [*TEXTS]
    others[3] = token_rows([5], seed=1)[0]
    with torch.no_grad():
        one, other = (classifier.packed_log_odds(packed(texts))[0] for texts in (TEXTS, others))
    rest = [0, 1, 2, 4, 5, 6]
    torch.testing.assert_close(one[rest], other[rest], rtol=0, atol=1e-12)
    assert (one[3] - other[3]).abs() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "opt"])
def test_where_a_text_lies_does_not_matter(kind, checkpoint):
    classifier = packing_classifier(checkpoint(kind), "float64")
    order = [4, 2, 6, 0, 5, 3, 1]
    with torch.no_grad():
        shuffled = classifier.packed_log_odds(packed([TEXTS[i] for i in order]))
        torch.testing.assert_close(shuffled, classifier.packed_log_odds(packed())[:, order], rtol=0, atol=1e-10)
        alone = torch.cat([classifier.packed_log_odds(packed([text])) for text in TEXTS], 1)
        torch.testing.assert_close(alone, classifier.packed_log_odds(packed()), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_as_many_tokens_are_computed_as_there_are(kind, checkpoint):
    classifier, seen = packing_classifier(checkpoint(kind)), []
    blocks = classifier.backbone.get_submodule(ARCHITECTURES[kind].blocks)
    blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[:-1].numel()))
    classifier.packed_log_odds(packed())
    classifier.log_odds(*padded())
    assert seen == [sum(map(len, TEXTS)), len(TEXTS) * 32]


def test_a_pack_says_where_its_texts_are():
    pack = packed([[7, 8, 9], [5], [4, 6]])
    assert pack.input_ids.tolist() == [7, 8, 9, 5, 4, 6]
    assert pack.positions.tolist() == [0, 1, 2, 0, 0, 1]
    assert pack.texts.tolist() == [0, 0, 0, 1, 2, 2]
    assert pack.starts.tolist() == [0, 3, 4]
    assert pack.ends.tolist() == [2, 3, 5]


def test_an_attention_that_cannot_be_had_is_passed_over_and_one_that_was_used_is_given_back(checkpoint, monkeypatch):
    ways = [Packing("found", 0, name, "sdpa") for name in ("none such", "eager")]
    monkeypatch.setattr(packing, "_ways", lambda backbone, device, dense: iter(ways))
    classifier = packing_classifier(checkpoint("llama"))
    assert classifier.packing == ways[1]
    assert classifier.backbone.config._attn_implementation == "eager"
    assert_alike(classifier, "float32")
    assert classifier.release().config._attn_implementation == "sdpa"
    members = Cohort(classifier.backbone, classifier.spec, SEEDS)
    assert start_packing(members)
    assert members.release().config._attn_implementation == "sdpa"


def test_another_attention_without_a_backward_pass_is_passed_over(checkpoint, monkeypatch):
    def no_backward(grad: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("does not support backward")

    def pooled(self, *given):
        found = whole(self, *given)
        if self.attention == "eager" and found.requires_grad:
            found.register_hook(no_backward)
        return found

    whole = Packing.pooled
    ways = [Packing("found", 0, name, "sdpa") for name in ("eager", "sdpa")]
    monkeypatch.setattr(Packing, "pooled", pooled)
    monkeypatch.setattr(packing, "_ways", lambda backbone, device, dense: iter(ways))
    assert packing_classifier(checkpoint("llama")).packing == ways[1]


@pytest.mark.parametrize(("dtype", "kernel"), [("bfloat16", ["varlen"]), ("float32", [])])
def test_on_cuda_a_kernel_for_rows_of_texts_is_tried_first_where_there_is_one(dtype, kernel, checkpoint):
    backbone = classifier_of(checkpoint("roberta"), dtype).backbone
    cuda = torch.device("cuda")
    assert [way.mask for way in packing._ways(backbone, cuda, dense=False)] == kernel
    ways = [*packing._ways(backbone, cuda, dense=True)]
    assert [way.mask for way in ways] == [*kernel, "found", "causal", "full"]
    assert {way.first_position for way in ways} == {2}


@pytest.fixture
def varlen(monkeypatch):
    use_plain_varlen(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", sorted({kind for kind in PACKED if WAYS[kind] == "laid"} | {"mistral", "gemma3_text"}))
def test_by_a_kernel_for_rows_of_texts_log_odds_and_gradients_are_those_of_padded_ones(
    kind, members, checkpoint, varlen
):
    spec = spec_of(checkpoint(kind), "float64" if not kind.startswith("gemma") else "float32")
    if members == 1:
        model = stir(Classifier(load_backbone(spec, CPU), spec, 0))
    else:
        model = Cohort(load_backbone(spec, CPU), spec, SEEDS)
        for seed in SEEDS:
            with model.alone(seed) as member:
                stir(member, seed)
    assert start_packing(model, dense=False)
    assert model.packing.mask == "varlen"
    assert_alike(model, spec.compute_dtype)
    exact, fixed = (model.packed_log_odds(Pack.of(TEXTS, CPU, fixed=fixed)) for fixed in (False, True))
    torch.testing.assert_close(fixed[:, : len(TEXTS)], exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "way"), [("gemma2", "found"), ("modernbert", "full")])
def test_where_the_kernel_does_not_do_what_a_model_does_another_way_is_taken(kind, way, checkpoint, varlen):
    """A cap of the scores, and windows to both sides."""
    model = classifier_of(checkpoint(kind))
    assert start_packing(model)
    assert model.packing.mask == way


def test_packs_of_fixed_sizes_hold_the_texts_and_filler_that_is_no_longer_than_they_are():
    generator = np.random.default_rng(0)
    sizes = set()
    for _ in range(200):
        texts = token_rows(generator.integers(1, generator.integers(2, 60), generator.integers(1, 40)).tolist())
        lengths = [len(text) for text in texts]
        pack = Pack.of(texts, CPU, fixed=True)
        sizes.add(pack.size)
        assert sum(lengths) <= pack.size.tokens <= max(sum(lengths) * 17 / 16, sum(lengths) + 7)
        assert max(lengths) <= pack.size.width < 2 * max(lengths)
        assert len(pack.input_ids) == pack.size.tokens == pack.bounds[-1]
        assert len(pack.starts) == len(pack.ends) == len(pack.bounds) - 1 == pack.size.texts
        bounds = pack.bounds.tolist()
        for i, (first, last) in enumerate(itertools.pairwise(bounds)):
            assert last - first <= max(lengths)
            assert pack.texts[first:last].tolist() == [i] * (last - first)
            assert pack.positions[first:last].tolist() == list(range(last - first))
            if i < len(texts):
                assert pack.input_ids[first:last].tolist() == texts[i]
                assert (pack.starts[i], pack.ends[i]) == (first, last - 1)
        assert 0 <= pack.ends.min() <= pack.ends.max() < pack.size.tokens
        assert 0 <= pack.starts.min() <= pack.starts.max() < pack.size.tokens
        again = Pack.over(pack.numbers.clone(), pack.size)
        assert all(torch.equal(part, same) for part, same in zip(pack[1:], again[1:], strict=True))
    assert len({size.tokens for size in sizes}) <= 16 * 11


def test_a_backbone_is_tried_out_once_for_classifiers_and_once_for_cohorts(checkpoint, monkeypatch):
    spec, tried = spec_of(checkpoint("llama")), []
    backbone = load_backbone(spec, CPU)
    way = packing._way
    monkeypatch.setattr(packing, "_way", lambda model, *given: tried.append(type(model)) or way(model, *given))
    for made in (Classifier, Classifier):
        classifier = made(backbone, spec, 0)
        start(classifier)
        stir(classifier, 0)
        assert_alike(classifier, "float32")
        classifier.release()
    for _ in range(2):
        members = start(Cohort(backbone, spec, SEEDS))
        members.release()
    assert tried == [Classifier, Cohort]


def test_a_sliding_window_that_holds_every_text_changes_nothing(checkpoint):
    classifier = classifier_of(checkpoint("mistral"), "float64")
    window = classifier.backbone.config.sliding_window
    assert window < max(map(len, TEXTS))
    assert not start_packing(classifier, longest=window + 1, dense=False)
    assert start_packing(classifier, longest=window, dense=False)
    inside = [text for text in TEXTS if len(text) <= window]
    expected = classifier.log_odds(*collate(inside, range(len(inside)), 0, CPU))
    torch.testing.assert_close(classifier.packed_log_odds(packed(inside)), expected, rtol=0, atol=1e-10)


def test_a_dense_mask_may_be_ruled_out(checkpoint):
    assert start_packing(classifier_of(checkpoint("llama")), dense=False)
    assert not start_packing(classifier_of(checkpoint("falcon")), dense=False)
    assert start_packing(classifier_of(checkpoint("falcon")), dense=True)


def test_no_packs_without_a_way(checkpoint):
    classifier = classifier_of(checkpoint("deberta"))
    assert not start_packing(classifier)
    with pytest.raises(ValueError, match="start_packing"):
        classifier.packed_log_odds(packed())
