"""From IMDb to Yelp: the model's own certain labels of target rows.

accelerate launch scripts/run_recipe.py adaptation/self_training_text
"""

from hf_transfer import LinearHead, PseudoLabels, Recipe, SourceTarget, Supervised, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="IMDb to Yelp: everything trained, with certain pseudo-labels of target rows",
    data=SourceTarget(
        source=TextClassification("stanfordnlp/imdb", text="text", label="label", validation=0.1, test="test"),
        target=TextClassification("fancyzhx/yelp_polarity", text="text", label="label"),
        test="test",
    ),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2", max_length=128),
    head=LinearHead(),
    objective=Supervised() + PseudoLabels(threshold=0.95),
    training=dict(learning_rate=3e-5, num_train_epochs=3, per_device_train_batch_size=32, warmup_steps=0.1),
)
