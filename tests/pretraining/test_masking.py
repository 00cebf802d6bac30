"""Which tokens are masked, and that it depends on nothing but seed, epoch and row."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from mini import mini_text_checkpoint

from hf_transfer import MaskedLMHead, TextBackbone, UserError
from hf_transfer.pretraining.joining import NO_WORD, joined
from hf_transfer.pretraining.masking import MaskedCollator, MaskedRows, MaskedTokensOnly, choose_positions, mask
from hf_transfer.pretraining.tokens import check_tokenizer, tokenise

WORDS = np.array([NO_WORD, 0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7, NO_WORD])


@pytest.mark.parametrize("whole_word", [False, True])
@pytest.mark.parametrize("probability", [0.01, 0.15, 0.5])
def test_the_share_is_kept_and_special_tokens_are_never_masked(whole_word, probability):
    counts = []
    for seed in range(200):
        positions = choose_positions(WORDS, probability, whole_word, np.random.default_rng(seed))
        assert len(set(positions)) == len(positions) and (WORDS[positions] != NO_WORD).all()
        counts.append(len(positions))
        if whole_word:  # with all of its tokens, or not at all
            words = set(WORDS[positions])
            assert sorted(positions) == [i for i in range(len(WORDS)) if WORDS[i] in words]
    wanted = max(1, round(11 * probability))
    if whole_word:
        assert all(1 <= count <= max(wanted, 3) for count in counts)
    else:
        assert set(counts) == {wanted}


def test_every_token_is_as_likely_as_the_next():
    hits = np.zeros(len(WORDS))
    for seed in range(3000):
        hits[choose_positions(WORDS, 0.3, False, np.random.default_rng(seed))] += 1
    assert hits[[0, -1]].sum() == 0
    assert np.allclose(hits[1:-1] / 3000, 3 / 11, atol=0.04)


def test_whole_words_are_drawn_from_the_whole_row_and_one_is_always_taken():
    hits = {
        word for seed in range(100) for word in WORDS[choose_positions(WORDS, 0.15, True, np.random.default_rng(seed))]
    }
    assert hits == set(range(8))
    long = np.array([NO_WORD, 0, 0, 0, 1, 1, 1, NO_WORD])
    for seed in range(20):  # a share of one token, and no word is as short as that
        assert len(choose_positions(long, 0.15, True, np.random.default_rng(seed))) == 3


def test_eighty_ten_ten():
    ids, positions = np.full(100_000, 7), np.arange(100_000)
    hidden = mask(ids, positions, mask_id=4, vocabulary=1000, draw=np.random.default_rng(0))
    assert (hidden == 4).mean() == pytest.approx(0.8 + 0.1 / 1000, abs=0.005)
    assert (hidden == 7).mean() == pytest.approx(0.1 + 0.1 / 1000, abs=0.005)
    assert (ids == 7).all()
    assert len(set(hidden)) > 990  # tokens from the whole vocabulary in the place of a tenth


@pytest.fixture
def rows(tmp_path, mini_text):
    tokenizer = TextBackbone(str(mini_text), max_length=16).processor()
    texts = Dataset.from_dict({"text": ["the film was great", "a poor actor and a very dull plot", "good " * 40]})
    return tokenise(texts, tokenizer, 16, tmp_path / "work"), tokenizer


def test_a_long_text_becomes_pieces_and_loses_nothing(rows):
    pieces, tokenizer = rows
    assert max(pieces["length"]) == 16 and len(pieces) == 2 + 3  # 40 tokens, 14 to a piece
    assert sum(length - 2 for length in pieces["length"]) == 4 + 8 + 40
    assert all(words[0] == words[-1] == NO_WORD for words in pieces["words"])


def test_joined_texts_fill_pieces_with_a_separator_between_them(mini_text, tmp_path):
    tokenizer = TextBackbone(str(mini_text), max_length=16).processor()
    texts = Dataset.from_dict(
        {"text": ["the film was great", "a poor actor and a very dull plot", "good " * 40, "bad"]}
    )
    alone = tokenise(texts, tokenizer, 512, tmp_path / "alone")
    pieces = tokenise(texts, tokenizer, 16, tmp_path / "joined", join=True)
    assert all(length in (15, 16) for length in pieces["length"][:-1])  # 15 where a cut fell beside a separator
    start, stop = tokenizer.cls_token_id, tokenizer.sep_token_id
    assert all(ids[0] == start and ids[-1] == stop and start not in ids[1:] for ids in pieces["input_ids"])
    inner = [token for ids in pieces["input_ids"] for token in ids[1:-1] if token != stop]
    assert inner == [token for ids in alone["input_ids"] for token in ids[1:-1]]
    # The first piece holds the first two texts, with one separator between them, and no word of both.
    first = pieces[0]
    assert first["input_ids"][1:14] == alone[0]["input_ids"][1:] + alone[1]["input_ids"][1:-1]
    assert first["words"][:14] == [NO_WORD, 0, 1, 2, 3, NO_WORD, 4, 5, 6, 7, 8, 9, 10, 11]


def test_joined_texts_cut_beside_a_separator_do_not_have_two_of_them():
    text = [2, 10, 11, 12, 3], [NO_WORD, 0, 1, 2, NO_WORD]
    for length in range(3, 14):
        pieces = list(joined([text] * 5, length))
        assert [token for ids, _ in pieces for token in ids if token >= 10] == [10, 11, 12] * 5
        for ids, words in pieces:
            assert len(ids) == len(words) <= length and ids[0] == 2 and ids[-1] == 3
            assert all({one, other} != {3} for one, other in zip(ids, ids[1:], strict=False))


def test_masks_follow_seed_epoch_and_row_alone(rows):
    pieces, tokenizer = rows
    head, size = MaskedLMHead(probability=0.3), len(pieces)
    one, again = (MaskedRows(pieces, head, tokenizer, seed=3) for _ in range(2))
    fixed = MaskedRows(pieces, head, tokenizer, seed=3, fixed=True)
    alone = one[1]
    batch = again.__getitems__([0, 1, 2])[1]  # another batch, other mates
    assert (alone["input_ids"] == batch["input_ids"]).all() and (alone["positions"] == batch["positions"]).all()
    later = [one[epoch * size + 1]["positions"].tolist() for epoch in range(6)]
    assert len(set(map(tuple, later))) > 1
    assert fixed[1]["positions"].tolist() == fixed[4 * size + 1]["positions"].tolist()
    others = [MaskedRows(pieces, head, tokenizer, seed=seed)[1]["positions"].tolist() for seed in range(6)]
    assert len(set(map(tuple, others))) > 1


def test_rows_of_the_same_text_are_masked_in_other_places(mini_text, tmp_path):
    tokenizer = TextBackbone(str(mini_text), max_length=32).processor()
    alike = tokenise(Dataset.from_dict({"text": ["the film was a very great story"] * 8}), tokenizer, 32, tmp_path)
    found = MaskedRows(alike, MaskedLMHead(probability=0.3), tokenizer, seed=0).__getitems__(list(range(8)))
    assert len({tuple(row["positions"]) for row in found}) > 1


@pytest.mark.parametrize("kind", ["mini", "wordpiece"])
def test_a_batch_says_what_stood_where_and_what_is_padding(rows, kind, tmp_path):
    """Of a BERT, whose padding is token 0, and of a tokenizer where it is another."""
    pieces, tokenizer = rows
    if kind == "wordpiece":
        tokenizer = small_tokenizer(kind)
        texts = Dataset.from_dict({"text": ["wonderful", "wonder and wonderful words"]})
        pieces = tokenise(texts, tokenizer, 16, tmp_path / "pieces")
    numbers = list(range(len(pieces)))
    batch = MaskedCollator(tokenizer)(MaskedRows(pieces, MaskedLMHead(0.3), tokenizer, 0).__getitems__(numbers))
    lengths, longest = pieces["length"][:], max(pieces["length"])
    assert min(lengths) < longest and batch["attention_mask"].sum(1).tolist() == list(lengths)
    whole = torch.full((len(pieces), longest), tokenizer.pad_token_id)
    for line, ids in zip(whole, pieces["input_ids"], strict=True):
        line[: len(ids)] = torch.as_tensor(ids)
    assert batch["labels"].tolist() == whole.flatten()[batch["positions"]].tolist()
    untouched = torch.ones(whole.numel(), dtype=torch.bool)
    untouched[batch["positions"]] = False
    assert torch.equal(batch["input_ids"].flatten()[untouched], whole.flatten()[untouched])
    assert ("token_type_ids" in batch) == ("token_type_ids" in pieces.column_names)


def test_the_head_is_computed_at_the_masked_tokens_and_gives_the_same_logits(rows, tmp_path):
    """Against the stock class on all positions, of three architectures."""
    from transformers import AutoConfig, AutoModelForMaskedLM

    pieces, tokenizer = rows
    batch = MaskedCollator(tokenizer)(MaskedRows(pieces, MaskedLMHead(0.3), tokenizer, 0).__getitems__([0, 1, 2, 3]))
    assert batch["labels"].shape == batch["positions"].shape
    for architecture in ("bert", "distilbert", "modernbert"):
        folder = mini_text_checkpoint(tmp_path / architecture, architecture)
        model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).eval()
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            whole = model(**inputs).logits.flatten(0, 1)[batch["positions"]]
            watch = MaskedTokensOnly(model)
            picked = model(**inputs, positions=batch["positions"]).logits
            watch.remove()
            assert model(**inputs).logits.ndim == 3
        assert not model._forward_pre_hooks and not model.base_model._forward_hooks
        assert torch.allclose(picked, whole, atol=1e-6), architecture


def small_tokenizer(kind: str):
    """A tokenizer of each family, trained on a sentence."""
    import tokenizers as tk
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "</s>", "<pad>", "<mask>", "<unk>"]
    if kind == "wordpiece":
        inner, trainer = tk.Tokenizer(tk.models.WordPiece(unk_token="<unk>")), tk.trainers.WordPieceTrainer
        inner.pre_tokenizer = tk.pre_tokenizers.BertPreTokenizer()
    elif kind == "unigram":
        inner, trainer = tk.Tokenizer(tk.models.Unigram()), tk.trainers.UnigramTrainer
        inner.pre_tokenizer = tk.pre_tokenizers.Metaspace()
    else:
        inner, trainer = tk.Tokenizer(tk.models.BPE()), tk.trainers.BpeTrainer
        inner.pre_tokenizer = tk.pre_tokenizers.ByteLevel(add_prefix_space=True)
    more = {"unk_token": "<unk>"} if kind == "unigram" else {}
    inner.train_from_iterator(
        ["wonderful words and wonder"] * 3, trainer(vocab_size=300, special_tokens=special, **more)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", pad_token="<pad>", mask_token="<mask>", unk_token="<unk>"
    )


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bytes"])
def test_words_are_told_apart_in_every_family_of_tokenizers(kind, tmp_path):
    tokenizer = small_tokenizer(kind)
    check_tokenizer(tokenizer, "mini", whole_word=True)
    row = tokenise(Dataset.from_dict({"text": ["wonderfully worded wonders"]}), tokenizer, 64, tmp_path)[0]
    assert sorted({word for word in row["words"] if word != NO_WORD}) == [0, 1, 2]
    assert len(row["words"]) > 3  # there are words of several tokens


def test_transformers_collator_takes_a_text_of_sentencepiece_for_one_word():
    """Why words are taken from the tokenizer; when this fails the collator has been mended."""
    from transformers import DataCollatorForLanguageModeling

    tokenizer = small_tokenizer("unigram")
    found = tokenizer("wonderfully worded wonders", return_offsets_mapping=True, return_special_tokens_mask=True)
    words, _ = DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask(
        np.array([found["offset_mapping"]]), np.array([found["special_tokens_mask"]])
    )
    assert len(set(words[0]) - {-1}) == 1


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = small_tokenizer("wordpiece")
    tokenizer.mask_token = None
    with pytest.raises(UserError, match="no mask token"):
        check_tokenizer(tokenizer, "mini", whole_word=False)
