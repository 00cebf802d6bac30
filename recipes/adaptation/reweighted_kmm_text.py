"""From IMDb to Yelp: source rows weighted by kernel mean matching.

accelerate launch scripts/run_recipe.py adaptation/reweighted_kmm_text
"""

from hf_transfer import KMM, FrozenFeatures, LinearHead, Recipe, SourceTarget, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="IMDb to Yelp: source rows weighted by kernel mean matching",
    data=SourceTarget(
        source=TextClassification("stanfordnlp/imdb", text="text", label="label", validation=0.1, test="test"),
        target=TextClassification("fancyzhx/yelp_polarity", text="text", label="label"),
        test="test",
        weights=KMM(),
        selection="weighted",
    ),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2", max_length=128),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
