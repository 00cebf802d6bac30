"""From IMDb to Yelp: source features given the target's covariance in closed form.

accelerate launch scripts/run_recipe.py adaptation/coral_text
"""

from hf_transfer import FrozenFeatures, LinearHead, Recipe, SourceTarget, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="IMDb to Yelp: source features given the target's mean and covariance",
    data=SourceTarget(
        source=TextClassification("stanfordnlp/imdb", text="text", label="label", validation=0.1, test="test"),
        target=TextClassification("fancyzhx/yelp_polarity", text="text", label="label"),
        test="test",
        align="coral",
    ),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2", max_length=128),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
