"""From IMDb to Yelp: everything trained, with a small distance (MMD) between the domains.

accelerate launch scripts/run_recipe.py adaptation/mmd_text
"""

from hf_transfer import MMD, LinearHead, Recipe, SourceTarget, Supervised, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="IMDb to Yelp: everything trained, with a multi-kernel MMD term",
    data=SourceTarget(
        source=TextClassification("stanfordnlp/imdb", text="text", label="label", validation=0.1, test="test"),
        target=TextClassification("fancyzhx/yelp_polarity", text="text", label="label"),
        test="test",
    ),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2", max_length=128),
    head=LinearHead(),
    objective=Supervised() + MMD(),
    training=dict(learning_rate=3e-5, num_train_epochs=3, per_device_train_batch_size=32, warmup_steps=0.1),
)
