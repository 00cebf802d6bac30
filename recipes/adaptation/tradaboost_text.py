"""From IMDb to Yelp: source rows weighted by TrAdaBoost, with 50 target labels per class.

accelerate launch scripts/run_recipe.py adaptation/tradaboost_text
"""

from hf_transfer import FrozenFeatures, LinearHead, Recipe, SourceTarget, TextBackbone, TextClassification, TrAdaBoost

RECIPE = Recipe(
    summary="IMDb to Yelp: source rows weighted by TrAdaBoost, with 50 target labels per class",
    data=SourceTarget(
        source=TextClassification("stanfordnlp/imdb", text="text", label="label", validation=0.1, test="test"),
        target=TextClassification("fancyzhx/yelp_polarity", text="text", label="label", train_per_class=50),
        test="test",
        target_labels=True,
        weights=TrAdaBoost(),
    ),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2", max_length=128),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
