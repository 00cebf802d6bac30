"""Texts to batches: what the model gets is what its tokenizer makes of them, whatever is stored in between."""

import pytest
import torch
from datasets import Dataset
from mini import make_texts
from tokenizers.processors import TemplateProcessing

from hf_transfer import TextBackbone
from hf_transfer.inputs import collator, encode

TEXTS = [text for text, _ in make_texts(12, 0)]


def alone(tokenizer):
    return tokenizer, {"text": TEXTS}


def pairs(tokenizer):
    return tokenizer, {"text": TEXTS, "text_pair": [text.split()[0] for text in TEXTS]}


def segments(tokenizer):
    """As XLNet marks the class token of a single text, and pads with a segment of its own."""
    ids = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("$A:0 [SEP]:0 [CLS]:2", special_tokens=ids)
    tokenizer._pad_token_type_id = 3
    return tokenizer, {"text": TEXTS}


def no_segments(tokenizer):
    """As DistilBERT's."""
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer, {"text": TEXTS}


@pytest.mark.parametrize("case", [alone, pairs, segments, no_segments], ids=lambda case: case.__name__)
def test_a_batch_of_texts_is_what_the_tokenizer_pads(case, mini_text):
    backbone = TextBackbone(str(mini_text), max_length=16)
    tokenizer, columns = case(backbone.processor())
    encoded = encode(backbone, tokenizer, Dataset.from_dict(columns))
    batch = collator(backbone, tokenizer)([encoded[row] for row in range(len(TEXTS))])
    wanted = tokenizer(*columns.values(), truncation=True, max_length=16, padding=True, return_tensors="pt")
    assert len({sum(row) for row in wanted["attention_mask"].tolist()}) > 1 and batch.keys() == wanted.keys()
    for name, values in wanted.items():
        assert torch.equal(batch[name], values) and batch[name].dtype == torch.int64, name


def test_what_the_collator_can_tell_is_not_stored(mini_text):
    backbone = TextBackbone(str(mini_text), max_length=16)
    stored = {case: encode(backbone, *on_rows(case, backbone)).column_names for case in (alone, pairs, segments)}
    assert stored == {
        alone: ["input_ids", "length"],
        pairs: ["input_ids", "token_type_ids", "length"],
        segments: ["input_ids", "token_type_ids", "length"],
    }


def on_rows(case, backbone):
    tokenizer, columns = case(backbone.processor())
    return tokenizer, Dataset.from_dict(columns)
