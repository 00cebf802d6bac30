"""From IMDb to Yelp: what the source alone gives, on frozen features.

accelerate launch scripts/run_recipe.py adaptation/source_only_text
"""

from hf_transfer import FrozenFeatures, LinearHead, Recipe, SourceTarget, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="IMDb to Yelp: a linear layer learnt on the source alone",
    data=SourceTarget(
        source=TextClassification("stanfordnlp/imdb", text="text", label="label", validation=0.1, test="test"),
        target=TextClassification("fancyzhx/yelp_polarity", text="text", label="label"),
        test="test",
    ),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2", max_length=128),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
